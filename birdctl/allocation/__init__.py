"""Load balancer addresses: which Service of type LoadBalancer has which address of which pool."""
