"""From documents to typed objects, or to one error that names file, object, field and what was expected."""

from __future__ import annotations

import json

import pytest
import yaml

from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.decode import KINDS, decode, decode_json, decode_text
from birdctl.cluster.objects import EndpointSlice, LabelSelector, NetworkPolicy, Node, Object, Secret, Service
from birdctl.errors import InputError

OURS = "birdctl.io/v1alpha1"


def peer(**spec: object) -> dict[str, object]:
    return {"apiVersion": OURS, "kind": "BGPPeer", "metadata": {"name": "tor1"}, "spec": {"asn": 65001, **spec}}


def node(**fields: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, **fields}


def error_of(document: object, origin: str = "") -> str:
    with pytest.raises(InputError) as caught:
        decode(document, origin)
    return str(caught.value)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (peer(asn="65001"), "BGPPeer tor1: spec.asn: expected int, got str"),
        (peer(adress="10.0.0.1"), "BGPPeer tor1: spec.adress: unknown field; did you mean address?"),
        (peer(bfd={"minTX": "1s"}), "BGPPeer tor1: spec.bfd.minTX: unknown field; did you mean minTx?"),
        (
            peer(**{"import": {"allow": [{"prefix": "::/0"}, {}]}}),
            "BGPPeer tor1: spec.import.allow[1].prefix: is required",
        ),
        (peer(addPaths="both"), "BGPPeer tor1: spec.addPaths: expected None, Receive, Send or Both, got 'both'"),
        (peer(families=["IPv5"]), "BGPPeer tor1: spec.families[0]: expected IPv4 or IPv6, got 'IPv5'"),
        (
            peer(nodeSelector={"matchLabel": {}}),
            "BGPPeer tor1: spec.nodeSelector.matchLabel: unknown field; did you mean matchLabels?",
        ),
        (
            peer(nodeSelector={"matchExpressions": [{"key": "a", "operator": "in"}]}),
            (
                "BGPPeer tor1: spec.nodeSelector.matchExpressions[0].operator: "
                "expected In, NotIn, Exists or DoesNotExist, got 'in'"
            ),
        ),
        ({**peer(), "spce": {}}, "BGPPeer tor1: spce: unknown field; did you mean spec?"),
        (
            {**peer(), "metadata": {"name": "tor1", "lables": {}}},
            "BGPPeer tor1: metadata.lables: unknown field; did you mean labels?",
        ),
        ({**peer(), "metadata": {}}, "BGPPeer: metadata.name: is required"),
        ({**peer(), "metadata": {"name": ""}}, "BGPPeer: metadata.name: must not be empty"),
        ({**peer(), "apiVersion": "birdctl.io/v1"}, f"BGPPeer tor1: apiVersion: expected {OURS}, got birdctl.io/v1"),
        ({**peer(), "kind": "BGPPeers"}, "BGPPeers tor1: kind: birdctl.io has no such kind"),
        ({"kind": "Node", "metadata": {"name": "n1"}}, "Node n1: apiVersion: is required"),
        ({"apiVersion": "v1"}, "document: kind: is required"),
        ([], "document: expected an object, got list"),
        (
            node(metadata={"name": "n1", "labels": {"rack": 1}}),
            "Node n1: metadata.labels.rack: expected str, got int: put it in quotes",
        ),
        (node(spec={"podCIDRs": "10.1.0.0/24"}), "Node n1: spec.podCIDRs: expected array, got str"),
    ],
)
def test_an_error_names_object_field_and_what_was_expected(document: object, error: str):
    assert error_of(document) == error


def test_an_error_names_the_file_first():
    assert error_of(peer(asn="x"), "peers/tor.yaml") == "peers/tor.yaml: BGPPeer tor1: spec.asn: expected int, got str"


def test_an_error_is_one_line_whatever_an_object_is_called():
    document = {**node(spec=[]), "metadata": {"name": "n1\nn2: fine\x1b[2J"}}
    assert error_of(document) == "Node n1?n2: fine?[2J: spec: expected object, got array"


@pytest.mark.parametrize(
    ("api_version", "kind", "error"),
    [
        ("extensions/v1beta1", "NetworkPolicy", "apiVersion: expected networking.k8s.io/v1, got extensions/v1beta1"),
        (
            "policy.networking.k8s.io/v1alpha1",
            "AdminNetworkPolicy",
            "kind: is not read any more: write a ClusterNetworkPolicy of tier Admin",
        ),
    ],
)
def test_a_policy_of_a_former_api_is_not_passed_over(api_version: str, kind: str, error: str):
    assert error_of({"apiVersion": api_version, "kind": kind, "metadata": {"name": "p"}}).endswith(f"p: {error}")


def test_an_error_of_a_secret_never_shows_its_content():
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bgp"}, "data": {"tor1": ["hunter2"]}}
    assert "hunter2" not in error_of(document)


def test_kinds_of_kubernetes_ignore_fields_birdctl_does_not_read():
    document = node(spec={"podCIDR": "10.1.0.0/24", "taints": []}, somethingNew={"a": 1})
    assert isinstance(decode(document), Node)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("serving.knative.dev/v1", "Service"),
        ("crd.projectcalico.org/v1", "BGPPeer"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        (OURS, "BGPNodeState"),
    ],
)
def test_other_kinds_are_not_read(api_version: str, kind: str):
    assert decode({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}) is None


def test_a_null_is_an_absent_field():
    document = node(metadata={"name": "n1", "labels": None, "creationTimestamp": None}, spec=None)
    assert decode(document) == decode(node())


@pytest.mark.parametrize("empty", ["", None])
def test_a_null_among_labels_is_an_empty_text(empty: object):
    """Left out, it would make a selector that takes everything."""
    selector = {"matchLabels": {"app": empty}}
    found = decode(policy_from({"podSelector": selector}, labels={"app": empty}))
    assert isinstance(found, NetworkPolicy)
    assert found.metadata.labels == {"app": ""}
    (rule,) = found.spec.ingress
    assert rule.from_[0].pod_selector == LabelSelector(match_labels={"app": ""})


def policy_from(peer: object, **metadata: object) -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", **metadata},
        "spec": {"ingress": [{"from": [peer]}]},
    }


def test_the_annotation_of_kubectl_apply_is_not_kept():
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "birdctl.io/asn": "1"}
    found = decode(node(metadata={"name": "n1", "annotations": annotations}))
    assert found
    assert found.metadata.annotations == {"birdctl.io/asn": "1"}


def test_a_secret_shows_nothing_in_its_repr():
    found = decode({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bgp"}, "stringData": {"k": "hunter2"}})
    assert isinstance(found, Secret)
    assert repr(found) == "<Secret default/bgp ***>"


def test_what_the_api_server_returns_needs_no_kind():
    found = decode_json(
        Service, b'{"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.9"}}'
    )
    assert (found.key, found.spec.cluster_ip) == ("default/web", "10.96.0.9")


def test_what_the_api_server_returns_may_have_nulls_for_lists():
    text = b'{"metadata": {"name": "web-1", "namespace": "default"}, "endpoints": null, "ports": null}'
    assert decode_json(EndpointSlice, text).endpoints == ()


def test_a_bad_object_of_the_api_server_is_an_error_as_well():
    with pytest.raises(InputError, match=r"^BGPPeer tor1: spec\.asn: is required$"):
        decode_json(BGPPeer, b'{"metadata": {"name": "tor1"}, "spec": {}}')


def test_a_network_policy_is_read_whole():
    rule = {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": "http"}]}
    found = decode(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [rule]},
        }
    )
    assert isinstance(found, NetworkPolicy)
    (ingress,) = found.spec.ingress
    assert ingress.from_[0].ip_block
    assert ingress.from_[0].ip_block.except_ == ("10.1.0.0/16",)
    assert (ingress.ports[0].port, ingress.ports[0].protocol) == ("http", "TCP")
    assert found.spec.policy_types == ("Ingress",)


class TestTexts:
    """`decode_text`: many documents in one text."""

    def test_a_text_holds_any_number_of_yaml_documents(self):
        text = "---\n" + yaml.safe_dump_all([node(), None, peer()]) + "---\n# nothing\n"
        found, rejected = decode_text(text.encode())
        assert [item.ref for item in found] == ["Node n1", "BGPPeer tor1"]
        assert not rejected

    def test_json_is_read_as_well(self):
        assert decode_text(json.dumps(node()).encode(), "n1.json") == decode_text(yaml.safe_dump(node()).encode())

    @pytest.mark.parametrize(
        "document",
        [
            {"apiVersion": "v1", "kind": "List", "items": [node()]},
            {"apiVersion": "v1", "kind": "NodeList", "items": [{"metadata": {"name": "n1"}}]},
        ],
    )
    def test_lists_are_opened(self, document: object):
        found, rejected = decode_text(yaml.safe_dump(document).encode())
        assert [item.ref for item in found] == ["Node n1"]
        assert not rejected

    def test_one_bad_document_costs_only_itself(self):
        text = yaml.safe_dump_all([node(), peer(asn="x"), {**node(), "metadata": {"name": "n2"}}])
        found, (rejected,) = decode_text(text.encode(), "a.yaml")
        assert [item.name for item in found] == ["n1", "n2"]
        assert (rejected.type, rejected.key) == (BGPPeer, "tor1")
        assert str(rejected.error) == "a.yaml: BGPPeer tor1: spec.asn: expected int, got str"

    def test_a_date_is_a_text(self):
        text = (
            b"{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {since: 2026-01-31, at: 2026-01-31T10:00:00Z}}}"
        )
        (found,), _ = decode_text(text)
        assert found.metadata.labels == {"since": "2026-01-31", "at": "2026-01-31T10:00:00Z"}

    def test_a_name_without_its_quotes_tells_what_is_left_out(self):
        text = b"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: 5, namespace: 7}}"
        _, (rejected,) = decode_text(text)
        assert (rejected.type, rejected.key) == (NetworkPolicy, "7/5")
        assert str(rejected.error) == "NetworkPolicy 7/5: metadata.name: expected str, got int: put it in quotes"
        assert rejected.remains is not None

    def test_one_document_that_is_no_yaml_costs_only_itself(self):
        text = f"{yaml.safe_dump(node())}---\nkind: [\n---\n{yaml.safe_dump(peer())}"
        found, (rejected,) = decode_text(text.encode(), "a.yaml")
        assert [item.ref for item in found] == ["Node n1", "BGPPeer tor1"]
        assert rejected.type is Object
        assert str(rejected.error).startswith("a.yaml line 7: not YAML: ")

    def test_a_broken_json_text_is_one_error_with_its_place(self):
        _, (rejected,) = decode_text(b'{"kind": ', "a.json")
        assert str(rejected.error).startswith("a.json: not JSON: ")

    def test_a_bad_item_of_a_list_costs_only_itself(self):
        document = {"apiVersion": "v1", "kind": "List", "items": [node(), "nonsense", peer()]}
        found, (rejected,) = decode_text(yaml.safe_dump(document).encode(), "a.yaml")
        assert [item.ref for item in found] == ["Node n1", "BGPPeer tor1"]
        assert "expected an object, got str" in str(rejected.error)

    def test_an_empty_text_holds_nothing(self):
        assert decode_text(b"") == decode_text(b"", "a.json") == ((), ())

    def test_a_key_given_twice_is_an_error(self):
        text = b"apiVersion: v1\nkind: Node\nmetadata: {name: a, name: b}\n"
        found, (rejected,) = decode_text(text, "a.yaml")
        assert not found
        assert str(rejected.error) == "a.yaml line 3: not YAML: name is given twice"


def test_every_kind_says_where_the_api_serves_it():
    assert all(type_.plural and type_.api_version for type_ in KINDS.values())
