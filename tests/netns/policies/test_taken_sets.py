"""A set of somebody else's under a name of ours, in a rule of theirs."""

from __future__ import annotations

from contextlib import closing

import pytest

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.simulate import verdict
from tests.netns.policies.kernel import Kernel, address, compiled
from tests.unit.policies.build import labels, packet, policy

WEB = compiled(policy("red/web", labels(app="web"), ingress=[{"ports": [{"port": 80}]}]))


def reached(state):
    ways = [(port, name) for port in (80, 81) for name in ("web", "db")]
    return [
        way
        for way in ways
        if verdict(state, Family.IPV4, "FORWARD", packet(address("client"), address(way[1]), way[0])).allowed
    ]


@pytest.mark.parametrize("mode", list(Mode))
def test_policies_do_without_the_name_of_a_set_that_all_of_them_need(mode):
    (taken,) = (name for name in WEB.sets if name.startswith("birdctl-iso4-"))
    with closing(Kernel()) as kernel, kernel.node.inside(), closing(PolicyBackend(mode)) as backend:
        kernel.node.run(f"ipset create {taken} hash:net,port")
        kernel.node.run(f"iptables-{mode} -A INPUT -m set --match-set {taken} src,src")
        for verify in (False, False, True):
            assert not backend.apply(WEB, verify=verify).refused
            assert reached(backend.read()) == reached(WEB) == [(80, "web"), (80, "db"), (81, "db")]
        kernel.node.run(f"iptables-{mode} -F INPUT")
        backend.apply(WEB, verify=True)
        assert sorted(kernel.node.run("ipset list -n").split()) == sorted(WEB.sets)
