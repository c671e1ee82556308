"""The API server as the source of cluster objects: one list and watch per kind, only of what this node needs.

Namespaces come as metadata alone, Pods only until they have ended, EndpointSlices without those of headless services,
and of Secrets only those that the node's BGPPeers refer to, each by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from birdctl.cluster.apiclient import ApiClient
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.contact import Contact
from birdctl.cluster.events import Changed, Event, Replaced
from birdctl.cluster.feed import NOT_FOUND, Feed, read_list
from birdctl.cluster.objects import EndpointSlice, Node, Object, Pod, Secret
from birdctl.cluster.secrets import ReferencedSecrets, referenced
from birdctl.cluster.source import Emit
from birdctl.cluster.store import Cluster
from birdctl.errors import ApiRefused

NAMESPACE = "birdctl-system"
ANSWER_WITHIN = 30.0
"""Seconds that `refresh` waits for the API server."""


class ApiServerSource:
    """Source of the given kinds for one node; `node` empty: Secrets of all nodes' peers."""

    kind = "apiserver"

    def __init__(
        self, client: ApiClient, node: str, types: Collection[type[Object]], namespace: str = NAMESPACE
    ) -> None:
        self.types = tuple(types)
        self._emit: Emit = lambda _: None
        self._contact = Contact()
        self._feeds = tuple(
            Feed(client, self._contact, type_, self._forward, selector=_selector(type_))
            for type_ in types
            if type_ is not Secret
        )
        node_of_peers = node if Node in self.types else ""
        self._secrets = ReferencedSecrets(client, self._contact, node_of_peers, namespace, self._send)

    @property
    def healthy(self) -> bool:
        return not self.error

    @property
    def error(self) -> str:
        return self._contact.error

    def start(self, emit: Emit) -> None:
        self._emit = emit
        for feed in self._feeds:
            feed.start()

    def refresh(self) -> None:
        for feeds in (self._feeds, self._secrets.feeds()):
            asked = [(feed, feed.relist()) for feed in feeds]
            for feed, list_asked in asked:
                feed.wait_listed(list_asked, ANSWER_WITHIN)

    def stop(self) -> None:
        feeds = (*self._feeds, *self._secrets.feeds())
        for feed in feeds:
            feed.stop()
        for feed in feeds:
            feed.join()

    def _send(self, event: Event) -> None:
        self._emit(event)

    def _forward(self, event: Event) -> None:
        self._send(event)
        if Secret in self.types:
            self._secrets.see(event)


def load_cluster(client: ApiClient, node: str, types: Collection[type[Object]], namespace: str = NAMESPACE) -> Cluster:
    """The store of everything the API server has of these kinds for one node (empty: all nodes), read once.

    Raises Unavailable and ApiRefused.
    """
    cluster = Cluster()
    for type_ in types:
        if type_ is not Secret:
            cluster.apply(_list_or_nothing(client, type_, _selector(type_)))
    if Secret in types:
        cluster.apply(Replaced(Secret))
        own = cluster.get(Node, node)
        labels = own.metadata.labels if own else None
        for name in sorted(referenced(cluster.objects(BGPPeer).values(), labels)):
            found, _ = read_list(client, Secret, {"fieldSelector": f"metadata.name={name}"}, namespace)
            for secret in found.objects:
                cluster.apply(Changed(secret))
    return cluster


_SELECTORS: Mapping[type[Object], Mapping[str, str]] = {
    EndpointSlice: {"labelSelector": "!service.kubernetes.io/headless"},
    Pod: {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
}


def _selector(type_: type[Object]) -> Mapping[str, str]:
    return _SELECTORS.get(type_, {})


def _list_or_nothing(client: ApiClient, type_: type[Object], selector: Mapping[str, str]) -> Replaced:
    """Our own kinds may not be installed: then there are none of them."""
    try:
        return read_list(client, type_, selector)[0]
    except ApiRefused as error:
        if error.status != NOT_FOUND:
            raise
        return Replaced(type_)
