"""Cluster objects from a real API server: listed, watched, and kept when it is gone."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

import pytest

from birdctl.cluster import feed
from birdctl.cluster.apiclient import ApiClient
from birdctl.cluster.apiserver import ApiServerSource, load_cluster
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.events import Changed, Event, Replaced
from birdctl.cluster.objects import EndpointSlice, Namespace, Node, Object, ObjectMeta, Pod, Secret, Service
from birdctl.cluster.store import Cluster
from birdctl.errors import Unavailable
from tests.kube import Document, KubeApiServer, crds
from tests.polling import eventually

T = TypeVar("T", bound=Object)


def node(name: str, **spec: Any) -> Document:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def peer(name: str, **spec: Any) -> Document:
    spec = {"asn": 65001, "address": "192.0.2.1", **spec}
    return {"apiVersion": "birdctl.io/v1alpha1", "kind": "BGPPeer", "metadata": {"name": name}, "spec": spec}


def secret(name: str, namespace: str = "birdctl-system", **data: str) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    }


class Seen:
    """A started source with the store it fills."""

    def __init__(self, client: ApiClient, types: Collection[type[Object]], node: str = "") -> None:
        self.source = ApiServerSource(client, node, types)
        self.events: list[Event] = []
        self._cluster = Cluster()
        self._lock = threading.Lock()
        self.source.start(self._emit)

    def _emit(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)
            self._cluster.apply(event)

    def objects(self, type_: type[T]) -> dict[str, T]:
        with self._lock:
            return dict(self._cluster.objects(type_))

    def errors(self) -> dict[tuple[str, str], str]:
        with self._lock:
            return {key: str(error) for key, error in self._cluster.errors.items()}

    def synced(self) -> bool:
        with self._lock:
            return self._cluster.synced(self.source.types)

    def lists(self, type_: type[Object]) -> int:
        """How often the kind was listed."""
        return sum(isinstance(event, Replaced) and event.type is type_ for event in list(self.events))


See = Callable[..., Seen]


@pytest.fixture
def see() -> Iterator[See]:
    started: list[Seen] = []

    def start(client: ApiClient, *types: type[Object], node: str = "") -> Seen:
        started.append(Seen(client, types, node))
        eventually(started[-1].synced)
        return started[-1]

    yield start
    for one in started:
        one.source.stop()


def test_what_is_there_is_listed_and_what_changes_is_watched(apiserver: KubeApiServer, see: See):
    apiserver.apply(node("w1", podCIDR="10.1.0.0/24"))
    seen = see(apiserver.client, Node)
    assert seen.objects(Node)["w1"].spec.pod_cidrs == ("10.1.0.0/24",)
    apiserver.apply(node("w2"))
    eventually(lambda: "w2" in seen.objects(Node))
    apiserver.delete(node("w1"), node("w2"))
    eventually(lambda: not {"w1", "w2"} & seen.objects(Node).keys())
    assert seen.lists(Node) == 1


def test_a_namespace_is_read_by_its_metadata_alone(apiserver: KubeApiServer, see: See):
    seen = see(apiserver.client, Namespace)
    assert seen.objects(Namespace)["default"].metadata.labels == {"kubernetes.io/metadata.name": "default"}


def test_pods_are_those_of_all_nodes_until_they_have_ended(apiserver: KubeApiServer, see: See):
    def pod(name: str, phase: str) -> dict[str, Any]:
        spec = {"nodeName": f"node-of-{name}", "containers": [{"name": "c", "image": "i"}]}
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}

    apiserver.apply(pod("p1", "Running"), pod("p2", "Pending"), pod("p3", "Succeeded"))
    seen = see(apiserver.client, Pod, node="node-of-p1")
    assert {"default/p1", "default/p2", "default/p3"} & set(seen.objects(Pod)) == {"default/p1", "default/p2"}
    apiserver.apply(pod("p1", "Failed"))
    eventually(lambda: "default/p1" not in seen.objects(Pod))


def test_nothing_of_a_pod_is_kept_that_nobody_reads(apiserver: KubeApiServer, see: See):
    metadata = {"name": "p4", "namespace": "default", "labels": {"app": "a"}, "annotations": {"cni": "much text"}}
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    apiserver.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    seen = see(apiserver.client, Pod).objects(Pod)["default/p4"].metadata
    assert seen == ObjectMeta(name="p4", namespace="default", labels={"app": "a"})


def test_slices_of_headless_services_are_left_out(apiserver: KubeApiServer, see: See):
    for name, labels in (("with-ip", {}), ("headless", {"service.kubernetes.io/headless": ""})):
        apiserver.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [],
            }
        )
    assert "default/with-ip" in (found := see(apiserver.client, EndpointSlice).objects(EndpointSlice))
    assert "default/headless" not in found


class TestSecrets:
    def test_only_those_that_peers_refer_to_are_read(self, apiserver: KubeApiServer, see: See):
        apiserver.apply(secret("used", k="one"), secret("unused", k="two"), secret("used", "default", k="three"))
        apiserver.apply(peer("s1", passwordSecret={"name": "used", "key": "k"}))
        seen = see(apiserver.client, BGPPeer, Secret)
        assert seen.objects(Secret)["birdctl-system/used"].data == {"k": base64.b64encode(b"one").decode()}
        assert set(seen.objects(Secret)) == {"birdctl-system/used"}
        apiserver.apply(peer("s1", passwordSecret={"name": "unused", "key": "k"}))
        eventually(lambda: set(seen.objects(Secret)) == {"birdctl-system/unused"})
        apiserver.delete(peer("s1"))
        eventually(lambda: not seen.objects(Secret))

    def test_a_secret_is_followed(self, apiserver: KubeApiServer, see: See):
        apiserver.apply(peer("s2", passwordSecret={"name": "later", "key": "k"}))
        seen = see(apiserver.client, BGPPeer, Secret)
        assert not seen.objects(Secret)
        for value in ("one", "two"):
            apiserver.apply(secret("later", k=value))
            data = {"k": base64.b64encode(value.encode()).decode()}
            eventually(lambda data=data: [item.data for item in seen.objects(Secret).values()] == [data])
        apiserver.delete(secret("later"))
        eventually(lambda: not seen.objects(Secret))
        apiserver.delete(peer("s2"))

    def test_a_peer_of_other_nodes_is_none_of_this_nodes_business(self, apiserver: KubeApiServer, see: See):
        apiserver.apply(node("rack-a"), {**node("rack-b"), "metadata": {"name": "rack-b", "labels": {"rack": "b"}}})
        apiserver.apply(secret("of-b", k="one"))
        selector = {"matchLabels": {"rack": "b"}}
        apiserver.apply(peer("s3", nodeSelector=selector, passwordSecret={"name": "of-b", "key": "k"}))
        types = (Node, BGPPeer, Secret)
        seen = {name: see(apiserver.client, *types, node=name) for name in ("rack-a", "rack-b")}
        assert {name: set(one.objects(Secret)) for name, one in seen.items()} == {
            "rack-a": set(),
            "rack-b": {"birdctl-system/of-b"},
        }
        assert set(load_cluster(apiserver.client, "rack-b", types).objects(Secret)) == {"birdctl-system/of-b"}
        assert not load_cluster(apiserver.client, "rack-a", types).objects(Secret)
        apiserver.delete(peer("s3"), node("rack-a"), node("rack-b"))


class TestRefreshing:
    def test_everything_written_before_has_been_emitted_after(self, apiserver: KubeApiServer, see: See):
        seen = see(apiserver.client, Node, BGPPeer, Secret)
        for number in range(20):
            apiserver.apply(node("f1", podCIDR="10.1.0.0/24"), peer("f1", asn=65000 + number))
            seen.source.refresh()
            assert seen.objects(BGPPeer)["f1"].spec.asn == 65000 + number
        apiserver.delete(node("f1"), peer("f1"))

    def test_it_fails_when_there_is_no_answer(self, own_apiserver: KubeApiServer, see: See):
        seen = see(own_apiserver.client, Node)
        own_apiserver.stop()
        with pytest.raises(Unavailable, match=own_apiserver.address):
            seen.source.refresh()


class TestTrouble:
    def test_a_server_that_is_gone_changes_nothing_and_is_followed_when_it_is_back(
        self, own_apiserver: KubeApiServer, see: See, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.INFO, "birdctl")
        own_apiserver.apply(node("n1"))
        seen = see(own_apiserver.client, Node, Service, Namespace)
        own_apiserver.stop()
        eventually(lambda: not seen.source.healthy)
        assert own_apiserver.url in seen.source.error
        (told,) = caplog.messages
        assert told.endswith("everything stays as it is")
        assert set(seen.objects(Node)) == {"n1"}
        own_apiserver.start()
        own_apiserver.apply(node("n2"))
        eventually(lambda: set(seen.objects(Node)) == {"n1", "n2"}, 30)
        eventually(lambda: seen.source.healthy, 30)
        assert caplog.messages[-1] == "watching everything again"

    def test_a_version_the_server_no_longer_knows_is_listed_again(self, own_apiserver: KubeApiServer, see: See):
        own_apiserver.apply(node("n1"))
        own_apiserver.stop()
        own_apiserver.start()  # a server remembers changes only since its own start
        seen = see(own_apiserver.client, Node)
        (one,) = seen.source._feeds
        eventually(lambda: one._watch)
        one._version = "1"
        one._watch.close()
        eventually(lambda: seen.lists(Node) == 2)
        own_apiserver.apply(node("n2"))
        eventually(lambda: "n2" in seen.objects(Node))

    def test_a_watch_that_says_nothing_for_too_long_is_opened_anew(
        self, apiserver: KubeApiServer, see: See, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(feed, "SILENCE", 0.2)
        seen = see(apiserver.client, Node)
        (one,) = seen.source._feeds
        first = eventually(lambda: one._watch)
        eventually(lambda: one._watch is not first)
        apiserver.apply(node("d1"))
        eventually(lambda: "d1" in seen.objects(Node))
        assert seen.lists(Node) == 1
        apiserver.delete(node("d1"))

    def test_a_kind_that_is_not_installed_is_an_empty_list_and_one_warning(
        self, own_apiserver: KubeApiServer, see: See, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(feed, "ABSENT_WAIT", 0.1)
        with caplog.at_level(logging.WARNING):
            seen = see(own_apiserver.client, Node, BGPPeer)
            eventually(lambda: seen.lists(BGPPeer) > 3)
        assert [record.getMessage() for record in caplog.records] == [
            "the API server serves no bgppeers: is manifests/ applied?"
        ]
        assert seen.source.healthy
        assert not load_cluster(own_apiserver.client, "", [BGPPeer]).objects(BGPPeer)
        own_apiserver.apply(*crds())
        own_apiserver.apply(peer("late"))
        eventually(lambda: set(seen.objects(BGPPeer)) == {"late"})

    def test_one_bad_object_is_one_error(self, own_apiserver: KubeApiServer, see: See):
        crd = next(dict(item) for item in crds() if item["spec"]["names"]["kind"] == "BGPPeer")
        version = crd["spec"]["versions"][0]
        version["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        own_apiserver.apply(crd, peer("good"), peer("bad", asn="x"))
        seen = see(own_apiserver.client, BGPPeer)
        assert set(seen.objects(BGPPeer)) == {"good"}
        assert seen.errors() == {("BGPPeer", "bad"): "BGPPeer bad: spec.asn: expected int, got str"}
        own_apiserver.apply(peer("good", adress="192.0.2.1"))
        eventually(lambda: not seen.objects(BGPPeer))
        own_apiserver.apply(peer("bad"))
        eventually(lambda: set(seen.objects(BGPPeer)) == {"bad"} and ("BGPPeer", "bad") not in seen.errors())

    def test_rights_that_are_missing_are_told(self, apiserver: KubeApiServer):
        account = {"name": "stranger", "namespace": "birdctl-system"}
        apiserver.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        token = apiserver.service_account_token("birdctl-system", "stranger")
        source = ApiServerSource(ApiClient.connect(apiserver.kubeconfig(token)), "", [Pod])
        source.start(lambda _: None)
        try:
            eventually(lambda: 'cannot list resource "pods"' in source.error)
        finally:
            source.stop()


def test_a_list_longer_than_a_page_is_read_whole(apiserver: KubeApiServer, see: See, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed, "PAGE", 3)
    documents = [peer(f"page{number}") for number in range(10)]
    apiserver.apply(*documents)
    seen = see(apiserver.client, BGPPeer)
    assert {item["metadata"]["name"] for item in documents} <= seen.objects(BGPPeer).keys()
    apiserver.delete(*documents)


def test_what_agents_write_on_nodes_makes_nothing_dirty(apiserver: KubeApiServer, see: See):
    apiserver.apply(node("a1"))
    seen = see(apiserver.client, Node)
    seen._cluster.take_dirty()
    body = {"metadata": {"annotations": {"birdctl.io/bgp-state": "1/1"}}}
    apiserver.client.request("PATCH", "/api/v1/nodes/a1", body, "application/merge-patch+json")
    eventually(lambda: any(isinstance(event, Changed) for event in seen.events))
    assert not seen._cluster.take_dirty()
    apiserver.delete(node("a1"))


def test_a_source_that_was_stopped_has_no_thread_left(apiserver: KubeApiServer):
    before = threading.active_count()
    seen = Seen(apiserver.client, [Node, BGPPeer, Secret])
    eventually(seen.synced)
    seen.source.stop()
    assert threading.active_count() == before
