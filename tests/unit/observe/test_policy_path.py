"""Objects and rules side by side, without a kernel: the compiled state stands for what was read back."""

from __future__ import annotations

import pytest

from birdctl.cluster.decode import decode_text
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.observe import ends
from birdctl.observe.policy_path import explain, questions
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.model import PolicyState
from birdctl.settings import Settings
from tests.unit.policies.build import cluster_policy, labels, namespace, node, pod, policy

OPEN = Cluster.of(
    node("n1", "192.0.2.1", pods=["10.1.0.0/24"]),
    node("n2", "192.0.2.2", pods=["10.2.0.0/24"]),
    namespace("x"),
    pod("x/a", "10.1.0.2", "2001:db8::2", labels={"app": "a"}, ports={"http": 8080}),
    pod("x/b", "10.2.0.2", on="n2", labels={"app": "b"}),
    pod("x/host", "192.0.2.2", on="n2", host_network=True),
    pod("x/done", "10.1.0.9", phase="Succeeded"),
)
CLOSED = Cluster.of(*(item for kind in OPEN._objects.values() for item in kind.values()), policy("x/none"))
NOTHING = PolicyState(tables={}, sets={})


def asked(cluster, source, destination, states, *, default_deny=False):
    one, other = ends.end(cluster, source, "SRC"), ends.end(cluster, destination, "DST")
    (question,) = questions(one, other, 80, "TCP")
    return explain(question, cluster, Settings(netpol_default_deny=default_deny), states)


def compiled(cluster, name="n1", *, default_deny=False):
    options = Settings(netpol_default_deny=default_deny).policies()
    return PolicyCompiler(name, options).compile(cluster).state


@pytest.mark.parametrize(
    ("text", "node_name", "is_node"),
    [
        ("x/a", "n1", False),
        ("x/host", "n2", True),
        ("node:n1", "n1", True),
        ("10.2.0.2", "n2", False),
        ("192.0.2.1", "n1", True),
        ("10.1.0.77", "n1", False),
        ("203.0.113.1", "", False),
    ],
)
def test_an_end_is_on_a_node_or_is_one_or_is_outside(text, node_name, is_node):
    found = ends.end(OPEN, text, "SRC")
    assert (found.node, found.is_node) == (node_name, is_node)


@pytest.mark.parametrize("text", ["x/nobody", "x/done", "node:n9", "name", "10.1.0.0.1"])
def test_what_is_not_there_is_an_error_of_the_argument(text):
    with pytest.raises(InputError, match=r"^SRC: "):
        ends.end(OPEN, text, "SRC")


@pytest.mark.parametrize(
    ("text", "found"), [("80", (80, "TCP")), ("53/udp", (53, "UDP")), ("http", (8080, "TCP")), ("9/SCTP", (9, "SCTP"))]
)
def test_ports_are_numbers_or_names_of_the_destination(text, found):
    assert ends.port(OPEN, text, "x/a") == found


def test_a_sidecars_port_has_a_name_too():
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "proxy", "containerPort": 15001}]}
    cluster = Cluster.of(pod("x/a", "10.1.0.2", sidecars=[sidecar]))
    assert ends.port(cluster, "proxy", "x/a") == (15001, "TCP")


def test_what_is_compiled_agrees():
    found = asked(CLOSED, "x/b", "x/a", {"n1": compiled(CLOSED)})
    assert (found.allowed, found.agrees) == (False, True)


def test_a_pod_that_policies_close_reaches_itself():
    state = {"n1": compiled(CLOSED)}
    (question, _) = questions(*(ends.end(CLOSED, "x/a", "") for _ in range(2)), 80, "TCP")
    found = explain(question, CLOSED, Settings(), state)
    assert (found.allowed, found.agrees) == (True, True)
    assert [step.text for step in found.steps[:2]] == ["x/a always reaches itself"] * 2


def test_rules_that_are_missing_disagree():
    found = asked(CLOSED, "x/b", "x/a", {"n1": NOTHING})
    assert (found.allowed, found.agrees) == (False, False)
    assert "DISAGREE" in found.steps[-1].text


def test_rules_that_are_too_many_disagree():
    found = asked(OPEN, "x/b", "x/a", {"n1": compiled(CLOSED)})
    assert (found.allowed, found.agrees) == (True, False)


def test_what_cannot_be_read_is_no_agreement():
    found = asked(CLOSED, "x/b", "x/a", {"n1": "no permission"})
    assert found.agrees is None
    assert any(step.text == "cannot be read: no permission" for step in found.steps)


def errors(cluster):
    found = asked(cluster, "x/b", "x/a", {"n1": compiled(cluster)})
    assert not found.allowed
    return [step.text for step in found.steps if step.subject == "error"]


def with_(*policies):
    return Cluster.of(*(item for kind in OPEN._objects.values() for item in kind.values()), *policies)


def test_what_is_wrong_with_the_policies_that_refuse_it_is_told():
    port = {"ingress": [{"ports": [{"port": "80"}]}]}
    wrong, right, elsewhere = policy("x/wrong", **port), policy("x/right"), policy("y/wrong", **port)
    found = asked(with_(wrong, right), "x/b", "x/a", {})
    assert found.policies == ("NetworkPolicy x/right", "NetworkPolicy x/wrong")
    told = [
        "NetworkPolicy x/wrong: spec.ingress[0].ports[0].port: '80' is not a port name: write the number without quotes"
    ]
    assert errors(with_(wrong, right, elsewhere)) == told
    peer = {"action": "Deny", "from": [{}]}
    (said,) = errors(with_(cluster_policy("guard", ingress=[peer])))
    assert said.startswith("ClusterNetworkPolicy guard: spec.ingress[0].from[0]: exactly one of namespaces and pods")


def test_what_is_wrong_with_a_policy_that_cannot_be_decoded_is_told():
    cluster = with_()
    text = b"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: 1}"
    cluster.apply(decode_text(text)[1][0])
    assert errors(cluster) == ["NetworkPolicy x/p: spec: expected object, got int"]


def test_a_packet_that_its_own_node_refuses_never_gets_to_the_other():
    egress = policy("x/out", labels(app="b"), policyTypes=["Egress"])
    cluster = Cluster.of(*(item for kind in OPEN._objects.values() for item in kind.values()), egress)
    found = asked(cluster, "x/b", "x/a", {"n1": compiled(cluster), "n2": compiled(cluster, "n2")})
    assert (found.allowed, found.agrees) == (False, True)
    assert "it never gets here" in [step.text for step in found.steps]


def test_an_unknown_pod_is_closed_where_the_nodes_are_closed_by_default():
    state = compiled(OPEN, default_deny=True)
    found = asked(OPEN, "x/b", "10.1.0.77", {"n1": state}, default_deny=True)
    assert (found.allowed, found.agrees) == (False, True)
    assert asked(OPEN, "x/b", "10.1.0.77", {"n1": state}).agrees is False
