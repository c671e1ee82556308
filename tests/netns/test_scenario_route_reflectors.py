"""containerlab/route-reflectors: two of five nodes reflect for the others."""

from __future__ import annotations

from itertools import permutations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "route-reflectors"
NODES = ("node1", "node2", "node3", "node4", "node5")
ZONES = dict(zip(NODES, "aabbc", strict=True))


def reflectors(lab: Lab) -> set[str]:
    """The nodes that others call their reflector."""
    return {peer for (_, peer), session in lab.peers(*NODES).items() if session["type"] == "reflector"}


def clients(lab: Lab) -> set[str]:
    return set(NODES) - reflectors(lab)


def address(node: str) -> str:
    return f"172.31.0.{node[-1]}"


def pods(node: str) -> str:
    return f"10.244.{node[-1]}.0/24"


def everything_is_routed(lab: Lab) -> bool:
    return all(
        lab.kernel(node) == {pods(other): {address(other)} for other in NODES if other != node} for node in NODES
    )


def test_two_reflectors_in_different_zones_are_chosen_and_all_nodes_agree(lab: Lab) -> None:
    chosen = reflectors(lab)
    assert len(chosen) == 2
    assert len({ZONES[node] for node in chosen}) == 2
    for client in clients(lab):
        assert {peer for _, peer in lab.peers(client)} == chosen


def test_a_client_learns_the_other_clients_from_the_reflectors_with_their_own_next_hop(lab: Lab) -> None:
    assert everything_is_routed(lab)
    one, other, *_ = sorted(clients(lab))
    reflected = lab.run(one, "birdc", "-s", "/run/bird/bird.ctl", "show", "route", pods(other), "all")
    assert f"BGP.next_hop: {address(other)}" in reflected
    assert "BGP.originator_id:" in reflected
    assert "BGP.cluster_list:" in reflected


def test_packets_travel_between_pods_of_clients(lab: Lab) -> None:
    for source, target in permutations(sorted(clients(lab)), 2):
        assert lab.pings(source, f"10.244.{target[-1]}.2")


def test_one_reflector_is_enough(lab: Lab) -> None:
    lost, kept = sorted(reflectors(lab))
    one, other, *_ = sorted(clients(lab))
    (bird,) = lab.pids(lost, "bird")
    ping = lab.start(one, "ip", "netns", "exec", "pod", "ping", "-n", "-i", "0.05", "-c", "30", f"10.244.{other[-1]}.2")
    lab.run(lost, "kill", bird)
    eventually(lambda: lab.state(one, lost) != "Established")
    assert lab.state(one, kept) == "Established"
    assert pods(other) in lab.kernel(one)
    assert " 0% packet loss" in ping.communicate(timeout=30)[0]
    lab.run(lost, "sh", "/start.sh", lost)
    eventually(lambda: lab.state(one, lost) == "Established")
    eventually(lambda: everything_is_routed(lab))


def test_a_reflector_that_stays_not_ready_is_replaced_without_restarting_the_other(lab: Lab) -> None:
    lost, kept = sorted(reflectors(lab))
    one = min(clients(lab))
    before = lab.uptimes(one)
    not_ready = 'conditions: [{type: Ready, status: "False", lastTransitionTime: "2020-01-01T00:00:00Z"}]'

    def change(text: str) -> str:
        documents = text.split("---\n")
        marked = [
            document.replace('conditions: [{type: Ready, status: "True"}]', not_ready)
            if f"name: {lost}," in document
            else document
            for document in documents
        ]
        return "---\n".join(marked)

    lab.rewrite("nodes.yaml", change)
    eventually(lambda: len(reflectors(lab)) == 2 and lost not in reflectors(lab))
    eventually(lambda: everything_is_routed(lab))
    assert lab.uptimes(one)[kept] >= before[kept]
