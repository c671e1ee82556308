"""A real API server takes what is in manifests/, and refuses objects that no agent could use."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from birdctl.cluster import bgp
from birdctl.cluster.apiclient import MERGE_PATCH, path_of
from birdctl.cluster.decode import KINDS, decode
from birdctl.cluster.objects import Object
from birdctl.errors import ApiRefused
from tests.kube import KubeApiServer, manifests

EXAMPLES = {item["kind"]: item for item in yaml.safe_load_all(Path(__file__).with_name("examples.yaml").read_text())}
ASN = {"asn": 65001}
AT = {"asn": 65001, "address": "10.0.0.1"}


def ours(kind: str, spec: Mapping[str, Any], name: str = "refused") -> dict[str, Any]:
    return {"apiVersion": bgp.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def collection(kind: str) -> str:
    return path_of(KINDS[kind])


@pytest.mark.parametrize("document", manifests(), ids=lambda item: f"{item['kind']} {item['metadata']['name']}")
def test_every_manifest_is_accepted_without_a_warning(apiserver: KubeApiServer, document: dict[str, Any]):
    apiserver.apply(document)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_object_with_every_field_comes_back_as_it_was_written(apiserver: KubeApiServer, kind: str):
    apiserver.apply(EXAMPLES[kind])
    stored = json.loads(apiserver.client.request("GET", apiserver.path_of(EXAMPLES[kind])))
    assert stored["spec"] == EXAMPLES[kind]["spec"]
    apiserver.delete(EXAMPLES[kind])


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("BGPConfiguration", {}),
        ("BGPPeer", AT),
        ("BGPPeer", {**AT, "bfd": {}, "gracefulRestart": {}, "import": {"limit": {"prefixes": 1}}}),
        ("BGPPeer", {**ASN, "interface": "eth1"}),
        ("BGPAdvertisement", {}),
        ("AddressPool", {"ranges": ["192.0.2.0/24"]}),
    ],
)
def test_defaults_of_the_api_server_are_those_of_a_manifest_folder(apiserver: KubeApiServer, kind: str, spec: Any):
    document = ours(kind, spec, "default")
    apiserver.apply(document)
    stored = json.loads(apiserver.client.request("GET", apiserver.path_of(document)))
    apiserver.delete(document)
    assert spec_of(decode(stored)) == spec_of(decode(document))


def spec_of(item: Object | None) -> Any:
    return item.spec  # type: ignore[union-attr]


REFUSED = [
    ("BGPPeer", {"address": "10.0.0.1"}, "spec.asn: Required"),
    ("BGPPeer", {**AT, "asn": 0}, "spec.asn"),
    ("BGPPeer", {**AT, "asn": 2**32}, "spec.asn"),
    ("BGPPeer", {**AT, "asn": 23456}, "AS_TRANS"),
    ("BGPPeer", {**AT, "asn": "65001"}, "spec.asn"),
    ("BGPPeer", {**AT, "localASN": 23456}, "AS_TRANS"),
    ("BGPPeer", ASN, "needs an address or an interface"),
    ("BGPPeer", {**ASN, "address": ""}, "spec.address"),
    ("BGPPeer", {**ASN, "address": "10.0.0.256"}, "spec.address"),
    ("BGPPeer", {**ASN, "address": "10.0.0.0/24"}, "spec.address"),
    ("BGPPeer", {**ASN, "interface": "eth 1"}, "spec.interface"),
    ("BGPPeer", {**ASN, "interface": "eth1", "multihopTTL": 2}, "directly connected"),
    ("BGPPeer", {**ASN, "interface": "eth1", "passive": True}, "passive peer"),
    ("BGPPeer", {**AT, "port": 0}, "spec.port"),
    ("BGPPeer", {**AT, "port": 65536}, "spec.port"),
    ("BGPPeer", {**AT, "multihopTTL": 256}, "spec.multihopTTL"),
    ("BGPPeer", {**AT, "localAddress": "tor"}, "spec.localAddress"),
    ("BGPPeer", {**AT, "passwordSecret": {"name": "bgp"}}, "spec.passwordSecret.key"),
    ("BGPPeer", {**AT, "passwordSecret": {"name": "", "key": "k"}}, "spec.passwordSecret.name"),
    ("BGPPeer", {**AT, "timers": {"hold": "90"}}, "spec.timers.hold"),
    ("BGPPeer", {**AT, "timers": {"hold": 90}}, "spec.timers.hold"),
    ("BGPPeer", {**AT, "timers": {"hold": ""}}, "spec.timers.hold"),
    ("BGPPeer", {**AT, "bfd": {"multiplier": 0}}, "spec.bfd.multiplier"),
    ("BGPPeer", {**AT, "families": ["IPv5"]}, "spec.families"),
    ("BGPPeer", {**AT, "families": ["IPv4", "IPv4"]}, "spec.families"),
    ("BGPPeer", {**AT, "addPaths": "both"}, "spec.addPaths"),
    ("BGPPeer", {**AT, "allowASIn": 256}, "spec.allowASIn"),
    ("BGPPeer", {**AT, "import": {"allow": [{"prefix": "ten"}]}}, "prefix"),
    ("BGPPeer", {**AT, "import": {"allow": [{"minLength": 8}]}}, "prefix: Required"),
    ("BGPPeer", {**AT, "import": {"allow": [{"prefix": "::/0", "minLength": 9, "maxLength": 8}]}}, "must not exceed"),
    ("BGPPeer", {**AT, "import": {"limit": {"prefixes": 0}}}, "prefixes"),
    ("BGPPeer", {**AT, "export": {"limit": {"prefixes": 1, "action": "drop"}}}, "action"),
    ("BGPPeer", {**AT, "export": {"communities": ["1:2:3:4"]}}, "communities"),
    ("BGPPeer", {**AT, "export": {"prepend": 65}}, "prepend"),
    ("BGPPeer", {**AT, "export": {"med": -1}}, "med"),
    ("BGPPeer", {**AT, "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "belong to In"),
    (
        "BGPPeer",
        {**AT, "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
        "belong to In",
    ),
    ("BGPPeer", {**AT, "adress": "10.0.0.1"}, "unknown field"),
    ("BGPConfiguration", {"asn": 1}, "named default"),
    ("BGPConfiguration", {"topology": "Mesh"}, "spec.topology"),
    ("BGPConfiguration", {"routeReflectors": {"count": 2, "nodeSelector": {}}}, "not both"),
    ("BGPConfiguration", {"routeReflectors": {"count": 0}}, "count"),
    ("BGPConfiguration", {"routeReflectors": {"clusterID": "one"}}, "clusterID"),
    ("BGPConfiguration", {"listenPort": 0}, "listenPort"),
    ("BGPAdvertisement", {"addresses": []}, "addresses"),
    ("BGPAdvertisement", {"addresses": ["NodePort"]}, "addresses"),
    ("BGPAdvertisement", {"aggregationLength": {"ipv4": 33}}, "aggregationLength.ipv4"),
    ("BGPAdvertisement", {"localPref": 2**32}, "localPref"),
    ("AddressPool", {}, "spec.ranges: Required"),
    ("AddressPool", {"ranges": []}, "spec.ranges"),
    ("AddressPool", {"ranges": ["all of them"]}, "spec.ranges"),
]


@pytest.mark.parametrize(("kind", "spec", "reason"), REFUSED)
def test_what_no_agent_could_use_is_refused(apiserver: KubeApiServer, kind: str, spec: Any, reason: str):
    with pytest.raises(ApiRefused) as refused:
        apiserver.client.request(
            "POST", collection(kind), ours(kind, spec), query={"dryRun": "All", "fieldValidation": "Strict"}
        )
    assert refused.value.status in (400, 422)
    assert reason in str(refused.value)


def test_the_status_of_an_object_is_written_apart_from_its_spec(apiserver: KubeApiServer):
    document = ours("BGPPeer", AT, "with-status")
    apiserver.apply(document)
    condition = {
        "type": "Accepted",
        "status": "False",
        "reason": "Invalid",
        "message": "spec.asn: 0 is a reserved ASN",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    path = apiserver.path_of(document)
    body = {"spec": {"asn": 1}, "status": {"conditions": [condition]}}
    stored = json.loads(apiserver.client.request("PATCH", f"{path}/status", body, MERGE_PATCH))
    assert stored["status"]["conditions"] == [condition]
    assert stored["spec"]["asn"] == AT["asn"]
    table = json.loads(apiserver.client.request("GET", path, accept="application/json;as=Table;g=meta.k8s.io;v=v1"))
    shown = dict(zip((column["name"] for column in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
    assert shown | {"Name": "with-status", "ASN": 65001, "Address": "10.0.0.1", "Accepted": "False"} == shown
    apiserver.delete(document)


def test_a_node_state_takes_the_items_that_show_prints(apiserver: KubeApiServer):
    document = {
        "apiVersion": bgp.API_VERSION,
        "kind": "BGPNodeState",
        "metadata": {"name": "n1"},
        "status": {
            "established": "1/2",
            "bird": {"version": "2.17.5", "routerId": "10.0.0.1", "uptimeSeconds": 7, "configDigest": "abc"},
            "peers": [
                {
                    "node": "n1",
                    "peer": "n2",
                    "type": "mesh",
                    "state": "Established",
                    "protocol": "node_n2",
                    "remoteAs": 4200000000,
                    "families": {"ipv4": {"received": 1, "filtered": 0, "accepted": 1, "advertised": 2, "limit": 10}},
                }
            ],
            "bfd": [{"node": "n1", "address": "10.0.0.9", "state": "up", "intervalSeconds": 0.3}],
        },
    }
    apiserver.apply(copy.deepcopy(document))
    stored = json.loads(apiserver.client.request("GET", path_of(bgp.BGPNodeState, "n1")))
    assert stored["status"] == document["status"]
