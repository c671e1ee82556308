"""The same objects give the same result, whether they come from a folder of manifests or from an API server.

The manifests say as little as they can, in the order hypothesis chose; what an API server fills in by itself, the
folder has to fill in as well. Only what a server allocates is left out: UIDs, versions, and addresses nobody gave.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from birdctl.cluster.apiserver import load_cluster
from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPPeer
from birdctl.cluster.decode import KINDS
from birdctl.cluster.folder import load_folder
from birdctl.cluster.objects import (
    EndpointSlice,
    Namespace,
    NetworkPolicy,
    Node,
    Object,
    ObjectMeta,
    Pod,
    Secret,
    Service,
)
from birdctl.cluster.store import Cluster
from tests.kube import Document, KubeApiServer

READ = (Namespace, Node, Pod, Service, EndpointSlice, NetworkPolicy, Secret, BGPPeer, BGPAdvertisement, AddressPool)
OURS = "birdctl.io/v1alpha1"
NAMES = [f"same-{letter}" for letter in "abc"]

names = st.sampled_from(NAMES)
labels = st.dictionaries(st.sampled_from(["app", "rack"]), st.sampled_from(["x", "y"]), max_size=2)
selectors = st.fixed_dictionaries({}, optional={"matchLabels": labels})
protocols = st.sampled_from(["TCP", "UDP"])
cidrs = st.sampled_from([["10.1.0.0/24"], ["10.1.0.0/24", "fd00:1::/64"]])


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, or none."""
    return st.fixed_dictionaries({}, optional=optional)


def documents(
    kind: str, api_version: str, spec: st.SearchStrategy[dict[str, Any]] | None = None, **rest: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {"apiVersion": st.just(api_version), "kind": st.just(kind), **rest}
    if spec is not None:
        fixed["spec"] = spec
    metadata = st.fixed_dictionaries({"name": names}, optional={"labels": labels, "annotations": labels})
    return st.fixed_dictionaries({**fixed, "metadata": metadata})


def pod_cidrs(values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    both = [{"podCIDR": values[0], "podCIDRs": values}, {"podCIDRs": values}]
    return st.sampled_from(both if len(values) > 1 else [*both, {"podCIDR": values[0]}])


def service_spec(number: int) -> st.SearchStrategy[dict[str, Any]]:
    address = f"10.96.7.{number}"
    addresses = st.sampled_from(
        [{"clusterIP": address}, {"clusterIP": address, "clusterIPs": [address]}, {"clusterIP": "None"}]
    )
    port = st.fixed_dictionaries(
        {"port": st.integers(1, 3).map(lambda port: 80 + port)},
        optional={"targetPort": st.sampled_from([8080, "http"]), "protocol": st.just("TCP")},
    )
    return st.builds(
        lambda given, ports, more: {**given, **more, "ports": ports},
        addresses,
        st.lists(port, min_size=1, max_size=1),
        some(externalIPs=st.just(["192.0.2.1"]), internalTrafficPolicy=st.sampled_from(["Local", "Cluster"])),
    )


POD = {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], "nodeName": "same-a"}
POD_STATUS = [
    {"phase": "Running", "podIP": "10.1.0.7"},
    {"phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}, {"ip": "fd00:1::7"}]},
]
ENDPOINT = {"addresses": ["10.1.0.7"]}

objects = st.one_of(
    documents("Namespace", "v1"),
    documents("Node", "v1", cidrs.flatmap(pod_cidrs)),
    documents(
        "Pod",
        "v1",
        some(hostNetwork=st.booleans()).map(lambda more: {**POD, **more}),
        status=st.sampled_from(POD_STATUS),
    ),
    documents("Service", "v1", st.integers(1, 200).flatmap(service_spec)),
    documents(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        addressType=st.just("IPv4"),
        endpoints=st.lists(
            some(conditions=some(ready=st.booleans()), nodeName=names).map(lambda more: {**ENDPOINT, **more}),
            max_size=2,
        ),
        ports=st.lists(some(port=st.just(80), protocol=protocols), max_size=1),
    ),
    documents(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        some(
            podSelector=selectors,
            policyTypes=st.sampled_from([["Ingress"], ["Egress"]]),
            ingress=st.lists(some(ports=st.lists(some(port=st.just(80), protocol=protocols), max_size=1)), max_size=1),
            egress=st.just([{}]),
        ),
    ),
    documents(
        "Secret", "v1", data=st.just({"a": "b25l"}), stringData=st.sampled_from([{}, {"a": "two"}, {"b": "two"}])
    ),
    documents(
        "BGPPeer",
        OURS,
        some(
            port=st.integers(1, 65535),
            nodeSelector=selectors,
            bfd=some(enabled=st.booleans(), minTx=st.just("50ms")),
            gracefulRestart=some(restartTime=st.just("1m")),
            **{"import": some(limit=st.just({"prefixes": 10}), allow=st.just([{"prefix": "10.0.0.0/8"}]))},
            export=some(podCIDRs=st.booleans(), communities=st.just(["no-export"])),
        ).map(lambda more: {"asn": 65001, "address": "192.0.2.9", **more}),
    ),
    documents("BGPAdvertisement", OURS, some(aggregationLength=some(ipv4=st.just(24)), namespaceSelector=selectors)),
    documents("AddressPool", OURS, st.just({"ranges": ["192.0.2.0/24"]})),
)
clusters = st.lists(objects, max_size=12, unique_by=lambda item: (item["kind"], item["metadata"]["name"]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clusters)
def test_a_folder_and_an_api_server_say_the_same(apiserver: KubeApiServer, documents: Sequence[Document]):
    try:
        apiserver.apply(*documents)
        from_server = load_cluster(apiserver.client, "", READ)
        secrets = [
            apiserver.client.request("GET", apiserver.path_of(one)) for one in documents if one["kind"] == "Secret"
        ]
    finally:
        remove(apiserver, documents)
    from_folder = folder_of([*documents])
    assert not from_folder.errors
    for type_ in READ:
        if type_ is not Secret:
            assert comparable(from_folder, type_) == comparable(from_server, type_)
    assert comparable(from_folder, Secret) == comparable(folder_of([json.loads(one) for one in secrets]), Secret)


def folder_of(documents: Sequence[Document]) -> Cluster:
    with tempfile.TemporaryDirectory() as folder:
        for number, document in enumerate(documents):
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump(document))
        return load_folder(Path(folder))


def remove(apiserver: KubeApiServer, documents: Sequence[Document]) -> None:
    for document in documents:
        body = {"gracePeriodSeconds": 0}
        apiserver.client.request("DELETE", apiserver.path_of(document), body)
        if document["kind"] == "Namespace":  # nobody finalizes namespaces here
            path = f"{apiserver.path_of(document)}/finalize"
            apiserver.client.request("PUT", path, {**document, "spec": {"finalizers": []}})


def comparable(cluster: Cluster, type_: type[Object]) -> dict[str, Object]:
    return {key: without_identity(item) for key, item in cluster.objects(type_).items() if item.name in NAMES}


def without_identity(item: Object) -> Object:
    metadata = item.metadata
    kept = ObjectMeta(
        name=metadata.name, namespace=metadata.namespace, labels=metadata.labels, annotations=metadata.annotations
    )
    item = replace(item, metadata=kept)
    if isinstance(item, Service):  # families are allocated, with the cluster IPs
        return replace(item, spec=replace(item.spec, ip_families=(), ip_family_policy=""))
    return item


def test_every_kind_of_the_property_is_one_that_birdctl_reads():
    assert set(READ) < set(KINDS.values())
