"""birdctl makes every Kubernetes node a BIRD router: from cluster objects to sessions, routes and `birdctl show`."""

__version__ = "0.1.0"
