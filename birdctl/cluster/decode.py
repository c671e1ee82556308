"""From documents to typed objects, or to one error that names object and field.

Our own kinds refuse what they do not know, and so do policies, which would otherwise allow more than was meant; other
kinds of Kubernetes ignore it. Documents are completed as an API server completes them, so that a manifest folder and
an API server give the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from birdctl.cluster import bgp, clusterpolicy, objects
from birdctl.cluster.complaint import complaint, unknown
from birdctl.cluster.defaults import complete
from birdctl.cluster.documents import documents
from birdctl.cluster.events import Rejected
from birdctl.cluster.objects import Object
from birdctl.cluster.remains import remains
from birdctl.errors import InputError

T = TypeVar("T", bound=Object)

KINDS: dict[str, type[Object]] = {
    type_.__name__: type_
    for type_ in (
        objects.Node,
        objects.Pod,
        objects.Namespace,
        objects.Service,
        objects.EndpointSlice,
        objects.NetworkPolicy,
        clusterpolicy.ClusterNetworkPolicy,
        objects.Secret,
        bgp.BGPConfiguration,
        bgp.BGPPeer,
        bgp.BGPAdvertisement,
        bgp.AddressPool,
    )
}
"""Every kind that birdctl reads, from either source."""

_TOP_LEVEL = {"apiVersion", "kind", "metadata", "spec", "status"}
_METADATA = {
    *("name", "namespace", "labels", "annotations", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "finalizers", "ownerReferences", "managedFields"),
    *("generateName", "selfLink"),
}
_OF_TEXTS = {"labels", "annotations", "matchLabels"}
"""Fields that are a mapping of the author's own words to texts."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_FORMER_GROUP = "extensions"
"""Of NetworkPolicy."""
_FORMER_POLICIES = {"AdminNetworkPolicy": "Admin", "BaselineAdminNetworkPolicy": "Baseline"}
"""What sigs.k8s.io/network-policy-api had before ClusterNetworkPolicy; nobody else has kinds of these names."""


def decode(document: Mapping[str, Any], origin: str = "") -> Object | None:
    """The typed object in `document`; None for a kind birdctl does not read.

    `origin` is the file it came from, if any. Raises InputError.
    """
    type_ = _recognise(document, origin)
    if type_ is None:
        return None
    return decode_as(type_, document, origin)


def decode_as(type_: type[T], document: Mapping[str, Any], origin: str = "") -> T:
    """The object of a known kind in `document`. Raises InputError."""
    name = _named(origin, type_.__name__, document)
    document = _without_nulls(document)
    if type_.api_version == bgp.API_VERSION:
        _refuse_unknown(document, _TOP_LEVEL, name, "")
        _refuse_unknown(document.get("metadata"), _METADATA, name, "metadata.")
    try:
        item = complete(msgspec.convert(document, type_))
    except msgspec.ValidationError as error:
        raise InputError(name, *complaint(error, type_, document)) from None
    if not item.name:
        raise InputError(name, "metadata.name", "must not be empty")
    return _trimmed(item)


def decode_json(type_: type[T], text: msgspec.Raw | bytes) -> T:
    """The object of a known kind in what the API server returned, which need not say its kind. Raises InputError."""
    if type_.api_version != bgp.API_VERSION:
        try:
            item: T = _decoder(type_).decode(text)
        except msgspec.ValidationError:
            pass  # a null where an absent field would do, or a real error: the thorough way tells
        else:
            return _trimmed(item)
    return decode_as(type_, msgspec.json.decode(text))


def _trimmed(item: T) -> T:
    """Without what nobody reads and takes room; pods are many."""
    if not isinstance(item, objects.Pod):
        item.metadata.annotations.pop(_LAST_APPLIED, None)
        return item
    metadata = item.metadata
    needed = objects.ObjectMeta(
        name=metadata.name,
        namespace=metadata.namespace,
        labels=metadata.labels,
        deletion_timestamp=metadata.deletion_timestamp,
        deletion_grace_period_seconds=metadata.deletion_grace_period_seconds,
    )
    return replace(item, metadata=needed)


@cache
def _decoder(type_: type[Object]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def decode_text(text: bytes, origin: str = "") -> tuple[tuple[Object, ...], tuple[Rejected, ...]]:
    """The objects in a text of one JSON or any number of YAML documents, and the errors of those left out.

    Lists (`kind: List`, `kind: NodeList`) are opened. A document that cannot be read costs only itself.
    """
    found: list[Object] = []
    left_out: list[Rejected] = []
    for place, document in documents(text, origin):
        try:
            if isinstance(document, InputError):
                raise document
            item = decode(document, origin)
        except InputError as error:
            left_out.append(_rejected(document, place, error))
        else:
            found += [item] if item else []
    return tuple(found), tuple(left_out)


def _rejected(document: Any, place: str, error: InputError) -> Rejected:
    if isinstance(document, Mapping):
        type_ = KINDS.get(str(document.get("kind")))
        if type_ and (key := _key(type_, document)):
            return rejected(type_, key, document, error)
    return Rejected(Object, place, error)


def rejected(type_: type[Object], key: str, document: Mapping[str, Any], error: InputError) -> Rejected:
    """The object `key` in `document`, which could not be decoded."""
    return Rejected(type_, key, error, remains(type_, key, _without_nulls(document)))


def _recognise(document: Mapping[str, Any], origin: str) -> type[Object] | None:
    if not isinstance(document, Mapping):
        raise InputError(origin or "document", "", f"expected an object, got {type(document).__name__}")
    kind, api_version = document.get("kind"), document.get("apiVersion")
    name = _named(origin, kind, document)
    for field, value in (("kind", kind), ("apiVersion", api_version)):
        if not isinstance(value, str) or not value:
            raise InputError(name, field, "is required")
    type_, group = KINDS.get(str(kind)), _group(str(api_version))
    if type_ is None or group not in (_group(type_.api_version), _FORMER_GROUP):
        if group == bgp.GROUP and kind != bgp.BGPNodeState.__name__:
            raise InputError(name, "kind", f"{bgp.GROUP} has no such kind")
        if tier := _FORMER_POLICIES.get(str(kind)):
            raise InputError(name, "kind", f"is not read any more: write a ClusterNetworkPolicy of tier {tier}")
        return None
    if type_.api_version != api_version:
        raise InputError(name, "apiVersion", f"expected {type_.api_version}, got {api_version}")
    return type_


def _named(origin: str, kind: object, document: Mapping[str, Any]) -> str:
    """What an error calls the object: file, kind and key, as far as they are known."""
    key = _key(KINDS.get(str(kind), Object), document)
    return ": ".join(filter(None, (origin, " ".join(filter(None, (str(kind or "document"), key))))))


def _key(type_: type[Object], document: Mapping[str, Any]) -> str:
    """Also of what would have to be in quotes to be a text; "" for what has no name."""
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str | int | float):
        return ""
    name, namespace = str(metadata["name"]), metadata.get("namespace") or "default"
    return f"{namespace}/{name}" if type_.namespaced and name else name


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _without_nulls(value: Any) -> Any:
    """A null is an absent field to an API server, and an empty text among texts."""
    if isinstance(value, Mapping):
        return {
            key: _texts(item) if key in _OF_TEXTS else _without_nulls(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _texts(value: Any) -> Any:
    return {key: "" if item is None else item for key, item in value.items()} if isinstance(value, Mapping) else value


def _refuse_unknown(value: Any, known: set[str], name: str, prefix: str) -> None:
    for field in sorted(map(str, value.keys() - known)) if isinstance(value, Mapping) else ():
        raise InputError(name, f"{prefix}{field}", unknown(field, known))
