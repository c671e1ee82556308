"""Pods that ask themselves through their Service."""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.cluster import Cluster

INNER, OUTER = "birdctl.io/service.hairpin", "birdctl.io/service.hairpin.externalips"
WISHES = {"nothing": {}, "hairpin": {INNER: ""}, "hairpin by external addresses": {OUTER: ""}}
PODS = dict(zip(WISHES, ("n1-a", "n1-b", "n1-c"), strict=True))
"""An endpoint that may reach itself may do so by whatever address it has."""


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("of", Family)
def test_a_pod_reaches_itself_where_its_service_wants_it(
    cluster: Cluster, of: Family, wish: str, protocol: Protocol
) -> None:
    served = cluster.serve([PODS[wish]], [protocol], WISHES[wish])
    pod, node = cluster.pods[PODS[wish]], cluster.nodes["n1"]
    inner = [(served.cluster_ip(of), 80), (node.addresses[of], served.node_port(protocol))]
    for address, port in {"hairpin": inner}.get(
        wish, [(served.external_ip(of), 80), (served.load_balancer_ip(of), 80)]
    ):
        if wish == "nothing":
            with pytest.raises(TimeoutError):
                pod.ask(address, port, protocol, timeout=1)
        else:
            answer = pod.ask(address, port, protocol)
            assert (answer.name, answer.peer) == (pod.name, node.gateways[of])
