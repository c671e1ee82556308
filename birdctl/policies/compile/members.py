"""The sets of peers that programmed rules use: one per selector and family, filled and kept up to date.

A pod's change looks only at the selectors that could match it before or after: they are indexed by namespace and by a
label they require.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from birdctl.addresses import Family
from birdctl.addresses import family as family_of
from birdctl.netfilter.model import Entry, IpSet, Port, SetType
from birdctl.policies.compile.directory import Change, Directory
from birdctl.policies.compile.names import set_name
from birdctl.policies.compile.peers import Endpoint, Pods

Found = tuple[Family, Entry]

_Label = tuple[str, str]
_Anchor = tuple[str | None, _Label | None]


class _Selection:
    """One selector in use."""

    def __init__(self, peer: Pods) -> None:
        self.peer = peer
        self.entries: dict[Family, set[Entry]] = {each: set() for each in Family}
        self._sets: dict[Family, IpSet] = {}

    def put(self, removed: Iterable[Found], added: Iterable[Found]) -> None:
        for family, entry in removed:
            self.entries[family].discard(entry)
            self._sets.pop(family, None)
        for family, entry in added:
            self.entries[family].add(entry)
            self._sets.pop(family, None)

    def set_of(self, family: Family) -> IpSet:
        """The same value as long as it has the same members."""
        if family not in self._sets:
            self._sets[family] = IpSet(
                name=peer_set(self.peer, family),
                type=SetType.IP_PORT if self.peer.port else SetType.IP,
                family=family,
                entries=frozenset(self.entries[family]),
                meaning=str(self.peer),
            )
        return self._sets[family]


class Members:
    """The selectors in use, by the names of their sets."""

    def __init__(self) -> None:
        self._selections: dict[Pods, _Selection] = {}
        self._index: dict[_Anchor, set[_Selection]] = {}
        self._named: dict[str, tuple[_Selection, Family]] = {}

    def use(self, peers: Mapping[str, tuple[Family, Pods]], directory: Directory) -> None:
        """Exactly these are in use from now on; new ones are filled from `directory`."""
        if peers.keys() == self._named.keys():
            return
        used = {peer for _, peer in peers.values()}
        for peer in self._selections.keys() - used:
            self._drop(peer)
        for peer in used - self._selections.keys():
            self._add(peer, directory)
        self._named = {name: (self._selections[peer], family) for name, (family, peer) in peers.items()}

    def _add(self, peer: Pods, directory: Directory) -> None:
        selection = self._selections[peer] = _Selection(peer)
        for anchor in _anchors(peer):
            self._index.setdefault(anchor, set()).add(selection)
        members = (each for each in _endpoints(peer, directory) if peer.pods.matches(each.labels))
        selection.put((), (entry for each in members for entry in _entries(peer, each)))

    def _drop(self, peer: Pods) -> None:
        selection = self._selections.pop(peer)
        for anchor in _anchors(peer):
            found = self._index[anchor]
            found.discard(selection)
            if not found:
                del self._index[anchor]

    def update(self, changes: Iterable[Change]) -> None:
        """Endpoints came, went or changed, all at once: one may have another's address now."""
        gone: dict[_Selection, set[Found]] = {}
        come: dict[_Selection, set[Found]] = {}
        for change in changes:
            for endpoint, found in zip(change, (gone, come), strict=True):
                if endpoint:
                    for selection in self._matching(endpoint):
                        found.setdefault(selection, set()).update(_entries(selection.peer, endpoint))
        for selection in gone.keys() | come.keys():
            removed, added = gone.get(selection, set()), come.get(selection, set())
            selection.put(removed - added, added - removed)

    def _matching(self, endpoint: Endpoint) -> Iterator[_Selection]:
        for namespace in (endpoint.namespace, None):
            for label in (None, *endpoint.labels.items()):
                for selection in self._index.get((namespace, label), ()):
                    if selection.peer.match(endpoint):
                        yield selection

    def sets(self) -> dict[str, IpSet]:
        """All of them, by name."""
        return {name: selection.set_of(family) for name, (selection, family) in self._named.items()}


def peer_set(peer: Pods, family: Family) -> str:
    """The name of its set."""
    if peer.port is None:
        return set_name("pods", family, _words(peer))
    return set_name("ports", family, (*_words(peer), peer.port[0], peer.port[1] or ""))


def _words(peer: Pods) -> Iterator[str]:
    """Everything that tells it from others, unambiguously once each word is hashed with its length."""
    yield "namespaces" if peer.namespace is None else f"namespace {peer.namespace}"
    if peer.within:
        yield f"within {peer.within}"
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
        if peer.within and not peer.within.holds(address):
            continue
        family = family_of(address)
        if peer.port is None:
            yield family, address
        else:
            for protocol, number in endpoint.numbers(*peer.port):
                yield family, Port(address=address, protocol=protocol, port=number)
