"""The Secrets of one node: only those that the BGPPeers selecting it refer to, each watched by its own name.

So a node needs no right to list Secrets at large, and holds no password that is not its business.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from birdctl.cluster.apiclient import ApiClient
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.contact import Contact
from birdctl.cluster.events import Changed, Deleted, Event, Rejected, Replaced
from birdctl.cluster.feed import Feed
from birdctl.cluster.objects import Labels, Node, Secret
from birdctl.cluster.source import Emit
from birdctl.cluster.store import Cluster


def referenced(peers: Iterable[BGPPeer], labels: Labels | None) -> frozenset[str]:
    """Names of the Secrets that peers of a node with these labels use; None: of any node."""
    return frozenset(
        peer.spec.password_secret.name
        for peer in peers
        if peer.spec.password_secret
        and (labels is None or peer.spec.node_selector is None or peer.spec.node_selector.matches(labels))
    )


class ReferencedSecrets:
    """Emits what one feed of all Secrets in use would emit: a complete list whenever one of them changes.

    The first comes when the BGPPeers, the node and every Secret referred to are known.
    """

    def __init__(self, client: ApiClient, contact: Contact, node: str, namespace: str, emit: Emit) -> None:
        self._client = client
        self._contact = contact
        self._node = node
        self._namespace = namespace
        self._emit = emit
        self._lock = threading.Lock()
        self._known = Cluster()
        self._feeds: dict[str, Feed] = {}
        self._secrets: dict[str, Replaced] = {}
        self._emitted = False

    def feeds(self) -> tuple[Feed, ...]:
        with self._lock:
            return tuple(self._feeds.values())

    def see(self, event: Event) -> None:
        """Take note of what may change which Secrets are in use."""
        if event.type is BGPPeer or (event.type is Node and self._node):
            with self._lock:
                self._known.apply(event)
                if self._known.synced((BGPPeer, Node) if self._node else (BGPPeer,)):
                    self._want(self._names())

    def _names(self) -> frozenset[str]:
        node = self._known.get(Node, self._node)
        labels = node.metadata.labels if node else {}
        return referenced(self._known.objects(BGPPeer).values(), labels if self._node else None)

    def _want(self, names: frozenset[str]) -> None:
        if names == self._feeds.keys() and self._emitted:
            return
        for name in self._feeds.keys() - names:
            self._feeds.pop(name).stop()
            self._secrets.pop(name, None)
        for name in names - self._feeds.keys():
            self._feeds[name] = self._feed(name)
            self._feeds[name].start()
        self._emit_if_complete()

    def _feed(self, name: str) -> Feed:
        def take(event: Event) -> None:
            self._take(name, event)

        selector = {"fieldSelector": f"metadata.name={name}"}
        return Feed(self._client, self._contact, Secret, take, selector=selector, namespace=self._namespace)

    def _take(self, name: str, event: Event) -> None:
        with self._lock:
            if name not in self._feeds:
                return
            match event:
                case Replaced():
                    self._secrets[name] = event
                case Changed(object=item):
                    self._secrets[name] = Replaced(Secret, (item,))
                case Rejected(key=key, error=error):
                    self._secrets[name] = Replaced(Secret, (), {key: error})
                case Deleted():
                    self._secrets[name] = Replaced(Secret)
            self._emit_if_complete()

    def _emit_if_complete(self) -> None:
        if self._secrets.keys() == self._feeds.keys():
            self._emitted = True
            lists = [self._secrets[name] for name in sorted(self._secrets)]
            errors = {key: error for one in lists for key, error in one.errors.items()}
            self._emit(Replaced(Secret, tuple(item for one in lists for item in one.objects), errors))
