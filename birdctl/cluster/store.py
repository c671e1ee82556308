"""Everything the cluster says, typed and indexed, and which of it changed since somebody last asked.

The store is owned by one thread: sources emit events, their owner applies them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast

import msgspec

from birdctl.cluster.events import Changed, Deleted, Event, Rejected, Replaced
from birdctl.cluster.objects import EndpointSlice, Object
from birdctl.errors import InputError

Key = tuple[str, str]
T = TypeVar("T", bound=Object)

_WRITTEN_BY_AGENTS = ("birdctl.io/asn", "birdctl.io/peer-asns", "birdctl.io/bgp-state")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Cluster:
    """Objects by kind and key. A key is dirty when its object came, went, changed in something birdctl reads, became
    unreadable or readable again.
    """

    def __init__(self) -> None:
        self._objects: dict[type[Object], dict[str, Object]] = {}
        self._errors: dict[Key, InputError] = {}
        self._dirty: set[Key] = set()
        self._slices: dict[str, dict[str, EndpointSlice]] = {}

    @classmethod
    def of(cls, *objects: Object) -> Cluster:
        """A synced store that holds exactly these objects, all dirty."""
        cluster = cls()
        for type_ in {type(item) for item in objects}:
            cluster.apply(Replaced(type_, tuple(item for item in objects if type(item) is type_)))
        return cluster

    @property
    def errors(self) -> Mapping[Key, InputError]:
        """Of the objects left out, by (kind, key), though something may remain of them in their place; texts without a
        recognisable object are ("Object", place).
        """
        return MappingProxyType(self._errors)

    def synced(self, types: Collection[type[Object]]) -> bool:
        """Whether a complete list of each of these kinds has arrived."""
        return all(type_ in self._objects for type_ in types)

    def objects(self, type_: type[T]) -> Mapping[str, T]:
        """All objects of a kind by key."""
        return cast("Mapping[str, T]", MappingProxyType(self._objects.get(type_, {})))

    def get(self, type_: type[T], key: str) -> T | None:
        return cast("T | None", self._objects.get(type_, _NOTHING).get(key))

    def slices_of(self, service_key: str) -> tuple[EndpointSlice, ...]:
        """The EndpointSlices of a service (`namespace/name`), sorted by name."""
        slices = self._slices.get(service_key, _NOTHING)
        return tuple(slices[key] for key in sorted(slices))

    def take_dirty(self) -> frozenset[Key]:
        """Keys that changed since the last call."""
        dirty = frozenset(self._dirty)
        self._dirty.clear()
        return dirty

    def apply(self, event: Event) -> None:
        match event:
            case Replaced():
                self._replace(event)
            case Changed(object=item):
                self._put(item)
            case Deleted(type=type_, key=key):
                self._forget(type_, key)
            case Rejected(type=type_, key=key, error=error, remains=remains):
                self._reject(type_, key, error, remains)

    def _replace(self, event: Replaced) -> None:
        known = self._objects.setdefault(event.type, {})
        kind = event.type.__name__
        rejected = {key for error_kind, key in self._errors if error_kind == kind}
        for key in (known.keys() | rejected) - {item.key for item in event.objects} - event.errors.keys():
            self._forget(event.type, key)
        for item in event.objects:
            self._put(item)
        for key, error in event.errors.items():
            self._reject(event.type, key, error, event.remains.get(key))

    def _put(self, item: Object) -> None:
        key = (item.kind, item.key)
        was_rejected = self._errors.pop(key, None) is not None
        known = self._objects.setdefault(type(item), {})
        before = known.get(item.key)
        known[item.key] = item
        self._index(before, item)
        if was_rejected or before is None or not _same(before, item):
            self._dirty.add(key)

    def _forget(self, type_: type[Object], key: str) -> None:
        before = self._objects.get(type_, {}).pop(key, None)
        was_rejected = self._errors.pop((type_.__name__, key), None) is not None
        self._index(before, None)
        if before is not None or was_rejected:
            self._dirty.add((type_.__name__, key))

    def _reject(self, type_: type[Object], key: str, error: InputError, remains: Object | None) -> None:
        known = self._objects.setdefault(type_, {})
        before = known.pop(key, None)
        if remains is not None:
            known[key] = remains
        reported = self._errors.get((type_.__name__, key))
        self._errors[type_.__name__, key] = error
        self._index(before, remains)
        if before != remains or str(reported) != str(error):
            self._dirty.add((type_.__name__, key))

    def _index(self, before: Object | None, after: Object | None) -> None:
        if isinstance(before, EndpointSlice):
            slices = self._slices[before.service_key]
            del slices[before.key]
            if not slices:
                del self._slices[before.service_key]
        if isinstance(after, EndpointSlice):
            self._slices.setdefault(after.service_key, {})[after.key] = after


def _same(before: Object, after: Object) -> bool:
    """Whether nothing changed that birdctl reads: neither a resourceVersion nor what agents write counts."""
    return before is after or _significant(before) == _significant(after)


def _significant(item: Object) -> Object:
    metadata = item.metadata
    annotations = metadata.annotations
    if any(name in annotations for name in _WRITTEN_BY_AGENTS):
        annotations = {name: value for name, value in annotations.items() if name not in _WRITTEN_BY_AGENTS}
    metadata = msgspec.structs.replace(metadata, resource_version="", annotations=annotations)
    return msgspec.structs.replace(item, metadata=metadata)
