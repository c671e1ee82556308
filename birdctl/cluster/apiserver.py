"""The API server as the source of cluster objects: one list and watch per kind, only of what this node needs.

Namespaces come as metadata alone, Pods only of this node, EndpointSlices without those of headless services, Secrets
only by the names asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from birdctl.cluster.apiclient import ApiClient
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.events import Changed, Deleted, Event, Rejected, Replaced
from birdctl.cluster.feed import NOT_FOUND, Feed, read_list
from birdctl.cluster.objects import EndpointSlice, Object, Pod, Secret
from birdctl.cluster.source import Emit
from birdctl.cluster.store import Cluster
from birdctl.errors import ApiRefused, InputError

NAMESPACE = "birdctl-system"
ANSWER_WITHIN = 30.0
"""Seconds that `refresh` waits for the API server."""


def _selector(type_: type[Object], node: str) -> Mapping[str, str]:
    if type_ is Pod and node:
        return {"fieldSelector": f"spec.nodeName={node}"}
    if type_ is EndpointSlice:
        return {"labelSelector": "!service.kubernetes.io/headless"}
    return {}


class ApiServerSource:
    """Source of the given kinds for one node; `node` empty: Pods of all nodes."""

    kind = "apiserver"

    def __init__(self, client: ApiClient, node: str, types: Collection[type[Object]], namespace: str = NAMESPACE) -> None:
        self.types = tuple(types)
        self._client = client
        self._emit: Emit = lambda _: None
        self._feeds = [Feed(client, type_, self._forward, _selector(type_, node)) for type_ in types if type_ is not Secret]
        self._secrets = SecretFeeds(client, namespace, self._forward)

    def _forward(self, event: Event) -> None:
        self._emit(event)

    @property
    def error(self) -> str:
        return next((feed.error for feed in (*self._feeds, *self._secrets.feeds()) if feed.error), "")

    @property
    def healthy(self) -> bool:
        return not self.error

    def start(self, emit: Emit) -> None:
        self._emit = emit
        for feed in self._feeds:
            feed.start()

    def want_secrets(self, names: Collection[str]) -> None:
        self._secrets.want(names)

    def refresh(self) -> None:
        asked = [(feed, feed.relist()) for feed in (*self._feeds, *self._secrets.feeds())]
        for feed, number in asked:
            feed.wait_listed(number, ANSWER_WITHIN)

    def stop(self) -> None:
        feeds = (*self._feeds, *self._secrets.feeds())
        for feed in feeds:
            feed.stop()
        for feed in feeds:
            feed.join()


class SecretFeeds:
    """One feed per wanted Secret; together they emit what one feed of the kind would."""

    def __init__(self, client: ApiClient, namespace: str, emit: Emit) -> None:
        self._client = client
        self._namespace = namespace
        self._emit = emit
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._lists: dict[str, Replaced] = {}
        self._complete = False

    def feeds(self) -> tuple[Feed, ...]:
        with self._lock:
            return tuple(self._feeds.values())

    def want(self, names: Collection[str]) -> None:
        with self._lock:
            for name in self._feeds.keys() - set(names):
                self._feeds.pop(name).stop()
                self._lists.pop(name, None)
            for name in set(names) - self._feeds.keys():
                self._feeds[name] = self._feed(name)
                self._feeds[name].start()
            self._emit_if_complete()

    def _feed(self, name: str) -> Feed:
        selector = {"fieldSelector": f"metadata.name={name}"}
        return Feed(self._client, Secret, lambda event: self._take(name, event), selector, self._namespace)

    def _take(self, name: str, event: Event) -> None:
        with self._lock:
            if name not in self._feeds:
                return
            match event:
                case Replaced():
                    self._lists[name] = event
                case Changed(object=item):
                    self._lists[name] = Replaced(Secret, (item,))
                case Rejected(key=key, error=error):
                    self._lists[name] = Replaced(Secret, (), {key: error})
                case Deleted():
                    self._lists[name] = Replaced(Secret)
            self._emit_if_complete()

    def _emit_if_complete(self) -> None:
        if self._lists.keys() != self._feeds.keys():
            return
        objects: list[Object] = []
        errors: dict[str, InputError] = {}
        for name in sorted(self._lists):
            objects += self._lists[name].objects
            errors |= self._lists[name].errors
        self._emit(Replaced(Secret, tuple(objects), errors))


def load_cluster(
    client: ApiClient, types: Collection[type[Object]], *, node: str = "", namespace: str = NAMESPACE
) -> Cluster:
    """The store of everything the API server has of these kinds for one node (empty: all), read once.

    Of Secrets those that BGPPeers refer to. Raises Unavailable and ApiRefused.
    """
    cluster = Cluster()
    for type_ in types:
        if type_ is not Secret:
            cluster.apply(_list_or_nothing(client, type_, _selector(type_, node)))
    if Secret in types:
        references = (peer.spec.password_secret for peer in cluster.objects(BGPPeer).values())
        for name in sorted({reference.name for reference in references if reference}):
            found, _ = read_list(client, Secret, {"fieldSelector": f"metadata.name={name}"}, namespace)
            for secret in found.objects:
                cluster.apply(Changed(secret))
    return cluster


def _list_or_nothing(client: ApiClient, type_: type[Object], selector: Mapping[str, str]) -> Replaced:
    """Our own kinds may not be installed: then there are none of them."""
    try:
        return read_list(client, type_, selector)[0]
    except ApiRefused as error:
        if error.status != NOT_FOUND:
            raise
        return Replaced(type_)
