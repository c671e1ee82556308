"""`birdctl lab`: containerlab topologies in network namespaces, without Docker."""

from birdctl.lab.record import LabNode, nodes

__all__ = ["LabNode", "nodes"]
