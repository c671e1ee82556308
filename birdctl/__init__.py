"""birdctl makes every Kubernetes node a BIRD router, an IPVS load balancer and a firewall. The rooms: DESIGN.md."""

__version__ = "0.1.0"
