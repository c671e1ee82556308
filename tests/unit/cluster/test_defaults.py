"""What an API server fills in, for objects that come from a folder. tests/cluster proves that it does the same."""

from __future__ import annotations

from typing import Any

import pytest

from birdctl.cluster.decode import decode
from birdctl.cluster.objects import Namespace, NetworkPolicy, Node, Pod, PodIP, Secret, Service

DISCOVERY, NETWORKING = "discovery.k8s.io/v1", "networking.k8s.io/v1"


def decoded(kind: str, api_version: str = "v1", *, metadata: Any = None, **fields: Any) -> Any:
    return decode({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **(metadata or {})}, **fields})


@pytest.mark.parametrize(
    ("kind", "key"), [("Service", "default/x"), ("Pod", "default/x"), ("Secret", "default/x"), ("Node", "x")]
)
def test_an_object_of_a_namespaced_kind_is_in_the_default_namespace(kind: str, key: str):
    assert decoded(kind).key == key


def test_a_namespace_of_a_cluster_scoped_object_is_ignored():
    assert decoded("Node", metadata={"namespace": "shop"}).key == "x"


def test_a_namespace_has_its_name_as_a_label():
    found: Namespace = decoded("Namespace", metadata={"labels": {"a": "b"}})
    assert found.metadata.labels == {"a": "b", "kubernetes.io/metadata.name": "x"}


@pytest.mark.parametrize(
    ("spec", "cidrs"),
    [
        ({}, ()),
        ({"podCIDR": "10.1.0.0/24"}, ("10.1.0.0/24",)),
        ({"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}, ("10.1.0.0/24", "fd00::/64")),
        ({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]}, ("10.1.0.0/24", "fd00::/64")),
        ({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.2.0.0/24"]}, ("10.1.0.0/24",)),
    ],
)
def test_the_pod_cidr_of_a_node_is_the_first_of_its_pod_cidrs(spec: dict[str, Any], cidrs: tuple[str, ...]):
    found: Node = decoded("Node", spec=spec)
    assert found.spec.pod_cidrs == cidrs
    assert found.spec.pod_cidr == (cidrs[0] if cidrs else "")


@pytest.mark.parametrize(
    ("spec", "addresses"),
    [
        ({}, ()),
        ({"clusterIP": "10.96.0.9"}, ("10.96.0.9",)),
        ({"clusterIPs": ["10.96.0.9", "fd96::9"]}, ("10.96.0.9", "fd96::9")),
        ({"clusterIP": "None"}, ("None",)),
        ({"clusterIP": "10.96.0.9", "type": "ExternalName"}, ()),
    ],
)
def test_the_cluster_ip_of_a_service_is_the_first_of_its_cluster_ips(spec: dict[str, Any], addresses: tuple[str, ...]):
    found: Service = decoded("Service", spec=spec)
    assert found.spec.cluster_ips == addresses
    assert found.spec.cluster_ip == (addresses[0] if addresses else "")


def test_the_target_of_a_service_port_is_the_port_itself():
    found: Service = decoded("Service", spec={"ports": [{"port": 80}, {"port": 81, "targetPort": "http"}]})
    assert [port.target_port for port in found.spec.ports] == [80, "http"]


def test_the_address_of_a_pod_is_the_first_of_its_addresses():
    found: Pod = decoded("Pod", status={"podIP": "10.1.0.7"})
    assert found.status.pod_ips == (PodIP(ip="10.1.0.7"),)
    assert decoded("Pod", status={"podIPs": [{"ip": "10.1.0.7"}]}) == found


def test_plain_data_of_a_secret_wins_and_becomes_base64():
    found: Secret = decoded("Secret", data={"a": "b25l", "b": "b25l"}, stringData={"a": "two"})
    assert (found.data, found.string_data) == ({"a": "dHdv", "b": "b25l"}, {})


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ("Ingress",)),
        ({"egress": [{}]}, ("Ingress", "Egress")),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, ("Egress",)),
    ],
)
def test_the_types_of_a_policy_follow_from_its_rules(spec: dict[str, Any], types: tuple[str, ...]):
    found: NetworkPolicy = decoded("NetworkPolicy", NETWORKING, spec={"podSelector": {}, **spec})
    assert found.spec.policy_types == types


def test_a_port_of_a_slice_without_a_name_has_an_empty_one():
    (port,) = decoded("EndpointSlice", DISCOVERY, ports=[{"port": 80, "name": None}]).ports
    assert (port.name, port.protocol) == ("", "TCP")
