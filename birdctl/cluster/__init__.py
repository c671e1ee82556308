"""What Kubernetes says: typed objects, their decoding, the store, and the two sources (API server, manifest folder)."""
