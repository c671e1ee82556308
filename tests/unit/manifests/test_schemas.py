"""The CRDs and the typed objects say the same: every field of one is a field of the other, with the same default."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from birdctl.cluster import bgp
from birdctl.cluster.objects import Object
from birdctl.observe import views
from tests.kube import crds

KINDS = {
    kind.__name__: kind
    for kind in (bgp.BGPConfiguration, bgp.BGPPeer, bgp.BGPAdvertisement, bgp.AddressPool, bgp.BGPNodeState)
}
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in crds()}
STATUS_ITEMS = {"peers": views.Peer, "bfd": views.BfdSession}
"""What is kept as plain JSON in a typed status, because the shape belongs to another room."""


def schema_of(kind: str) -> dict[str, Any]:
    return CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def test_there_is_a_definition_for_every_kind_of_ours():
    assert CRDS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_serves_the_kind_where_the_types_say(kind):
    spec, type_ = CRDS[kind]["spec"], KINDS[kind]
    (version,) = spec["versions"]
    assert f"{spec['group']}/{version['name']}" == type_.api_version
    assert spec["names"]["plural"] == type_.plural
    assert (spec["scope"] == "Namespaced") is type_.namespaced


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_status_of_its_own_conditions_and_columns(kind):
    (version,) = CRDS[kind]["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"]
    assert schema_of(kind)["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_type_have_the_same_fields(kind):
    section = "status" if kind == "BGPNodeState" else "spec"
    type_ = get_type_hints(KINDS[kind])[section]
    assert not list(differences(schema_of(kind)[section], type_, section))


def differences(schema: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
    """Each difference between a schema and the type of a field, as a sentence."""
    annotation = without_none(annotation)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield from struct_differences(schema, annotation, path)
    elif get_origin(annotation) is tuple:
        item = STATUS_ITEMS.get(path.removeprefix("status."), get_args(annotation)[0])
        yield from differences(schema["items"], item, f"{path}[]")
    elif get_origin(annotation) is dict:
        yield from differences(schema["additionalProperties"], get_args(annotation)[1], f"{path}{{}}")
    else:
        yield from scalar_differences(schema, annotation, path)


def struct_differences(schema: dict[str, Any], struct: type[msgspec.Struct], path: str) -> Iterator[str]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    properties = schema["properties"]
    for name in fields.keys() ^ properties.keys():
        yield f"{path}.{name} is only in the {'schema' if name in properties else 'type'}"
    required = {name for name, field in fields.items() if field.required}
    if struct.__name__ != "NodeStateCondition" and required != set(schema.get("required", ())):
        yield f"{path}: {required} are required by the type, {schema.get('required')} by the schema"
    for name in fields.keys() & properties.keys():
        default = wire(fields[name].default)
        if "default" in properties[name] and properties[name]["default"] != default:
            yield f"{path}.{name} is {properties[name]['default']!r} in the schema, {default!r} in the type"
        if default not in (None, "", 0, False, [], {}) and "default" not in properties[name]:
            yield f"{path}.{name} is {default!r} in the type, nothing in the schema"
        yield from differences(properties[name], fields[name].type, f"{path}.{name}")


def scalar_differences(schema: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
    names = {str: "string", int: "integer", bool: "boolean", float: "number"}
    expected = "string" if get_origin(annotation) is Literal else names.get(annotation, annotation)
    if schema["type"] != expected:
        yield f"{path} is {schema['type']} in the schema, {expected} in the type"
    if get_origin(annotation) is Literal and set(schema.get("enum", ())) != set(get_args(annotation)):
        yield f"{path} is one of {schema.get('enum')} in the schema, of {get_args(annotation)} in the type"


def without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (one for one in get_args(annotation) if one not in (NoneType, msgspec.UnsetType))
    return annotation


def wire(default: Any) -> Any:
    """A default as JSON; what the type leaves out on the wire is an empty object."""
    if default is msgspec.NODEFAULT or default is msgspec.UNSET:
        return None
    return msgspec.json.decode(msgspec.json.encode(default))


def test_a_difference_is_found():
    schema = {"properties": {"prefixes": {"type": "string"}, "more": {}}, "required": ["prefixes"]}
    assert sorted(differences(schema, bgp.Limit, "limit")) == [
        "limit.action is only in the type",
        "limit.more is only in the schema",
        "limit.prefixes is string in the schema, integer in the type",
    ]


def test_objects_are_decoded_by_their_own_class():
    assert all(issubclass(kind, Object) for kind in KINDS.values())
