"""The sets of peers that programmed rules use: one per selector and family, filled and kept up to date.

A pod's change looks only at the selectors that could match it before or after: they are indexed by namespace and by a
label they require.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from birdctl.addresses import Family
from birdctl.addresses import family as family_of
from birdctl.policies.compile.directory import Change, Directory
from birdctl.policies.compile.names import set_name
from birdctl.policies.compile.peers import Endpoint, Pods
from birdctl.policies.model import Entry, IpSet, Port, SetType

Found = tuple[Family, Entry]

_Label = tuple[str, str]
_Anchor = tuple[str | None, _Label | None]


class Members:
    """The sets of pods in use."""

    def __init__(self) -> None:
        self._entries: dict[Pods, dict[Family, set[Entry]]] = {}
        self._index: dict[_Anchor, set[Pods]] = {}
        self._sets: dict[tuple[Pods, Family], IpSet] = {}

    def use(self, peers: frozenset[Pods], directory: Directory) -> None:
        """Exactly these are in use from now on; new ones are filled from `directory`."""
        for peer in self._entries.keys() - peers:
            self._drop(peer)
        for peer in peers - self._entries.keys():
            for anchor in _anchors(peer):
                self._index.setdefault(anchor, set()).add(peer)
            self._entries[peer] = {each: set() for each in Family}
            members = (each for each in _endpoints(peer, directory) if peer.pods.matches(each.labels))
            self._put(peer, (), (entry for each in members for entry in _entries(peer, each)))

    def _drop(self, peer: Pods) -> None:
        del self._entries[peer]
        for anchor in _anchors(peer):
            peers = self._index[anchor]
            peers.discard(peer)
            if not peers:
                del self._index[anchor]
        for each in Family:
            self._sets.pop((peer, each), None)

    def update(self, changes: Iterable[Change]) -> None:
        """Endpoints came, went or changed, all at once: one may have another's address now."""
        gone: dict[Pods, set[Found]] = {}
        come: dict[Pods, set[Found]] = {}
        for change in changes:
            for endpoint, found in zip(change, (gone, come), strict=True):
                if endpoint:
                    for peer in self._matching(endpoint):
                        found.setdefault(peer, set()).update(_entries(peer, endpoint))
        for peer in gone.keys() | come.keys():
            removed, added = gone.get(peer, set()), come.get(peer, set())
            self._put(peer, removed - added, added - removed)

    def _put(self, peer: Pods, removed: Iterable[Found], added: Iterable[Found]) -> None:
        entries = self._entries[peer]
        for each, entry in removed:
            entries[each].discard(entry)
            self._sets.pop((peer, each), None)
        for each, entry in added:
            entries[each].add(entry)
            self._sets.pop((peer, each), None)

    def _matching(self, endpoint: Endpoint) -> Iterator[Pods]:
        """The selectors in use that match."""
        for namespace in (endpoint.namespace, None):
            for label in (None, *endpoint.labels.items()):
                for peer in self._index.get((namespace, label), ()):
                    if peer.match(endpoint):
                        yield peer

    def set_of(self, peer: Pods, family: Family) -> IpSet:
        """The same value as long as it has the same members."""
        known = self._sets.get((peer, family))
        if known is None:
            known = self._sets[peer, family] = IpSet(
                name=peer_set(peer, family),
                type=SetType.IP_PORT if peer.port else SetType.IP,
                family=family,
                entries=frozenset(self._entries[peer][family]),
                meaning=str(peer),
            )
        return known


def peer_set(peer: Pods, family: Family) -> str:
    """The name of its set."""
    if peer.port is None:
        return set_name("pods", family, _words(peer))
    return set_name("ports", family, (*_words(peer), peer.port[0], peer.port[1] or ""))


def _words(peer: Pods) -> Iterator[str]:
    """Everything that tells it from others, unambiguously once each word is hashed with its length."""
    yield "namespaces" if peer.namespace is None else f"namespace {peer.namespace}"
    for selector in (peer.namespaces, peer.pods):
        yield str(len(selector.requirements))
        for key, operator, values in selector.requirements:
            yield from (key, operator, str(len(values)), *values)


def _anchors(peer: Pods) -> list[_Anchor]:
    """Where to look for it: an endpoint that it matches has the namespace and one of the labels."""
    if peer.pods.anchor is None:
        return [(peer.namespace, None)]
    key, values = peer.pods.anchor
    return [(peer.namespace, (key, value)) for value in values]


def _endpoints(peer: Pods, directory: Directory) -> Iterator[Endpoint]:
    if peer.namespace is not None:
        yield from directory.in_namespace(peer.namespace)
    else:
        for name, labels, endpoints in directory.by_namespace():
            if peer.in_namespace(name, labels):
                yield from endpoints


def _entries(peer: Pods, endpoint: Endpoint) -> Iterator[Found]:
    for address in endpoint.addresses:
        family = family_of(address)
        if peer.port is None:
            yield family, address
        else:
            for protocol, number in endpoint.numbers(*peer.port):
                yield family, Port(address=address, protocol=protocol, port=number)
