"""What msgspec says about a document, in the words of whoever wrote it: path to the field, and what was expected."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

_MESSAGE = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`$")
_INVALID_CHOICE = re.compile(r"^Invalid enum value (?P<value>.*)$")
_UNQUOTED = re.compile(r"^Expected str, got (int|float|bool)$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def complaint(error: msgspec.ValidationError, type_: Any, document: Any) -> tuple[str, str]:
    """Field ("spec.import.allow[1].prefix") and problem, of an error in decoding `document` as `type_`."""
    message = _MESSAGE.match(str(error))
    assert message is not None
    path, annotation = _walk(message["path"] or "", type_, document)
    problem = message["problem"]
    if field := _FIELD.match(problem):
        path = f"{path}.{field['field']}".lstrip(".")
        if field["what"].startswith("missing"):
            return path, "is required"
        return path, unknown(field["field"], [one.encode_name for one in msgspec.structs.fields(annotation)])
    if choice := _INVALID_CHOICE.match(problem):
        return path, f"expected {one_of(get_args(annotation))}, got {choice['value']}"
    problem = problem.replace("`", "")
    remedy = ": put it in quotes" if _UNQUOTED.match(problem) else ""
    return path, problem[:1].lower() + problem[1:] + remedy


def unknown(field: str, known: Collection[str]) -> str:
    """The problem of an unknown field, with the known one it may have been meant to be."""
    import difflib  # noqa: PLC0415 - only an error pays for it

    close = difflib.get_close_matches(field, known, 1)
    return f"unknown field; did you mean {close[0]}?" if close else "unknown field"


def _walk(path: str, annotation: Any, value: Any) -> tuple[str, Any]:
    """The path as its author would write it, and the type that is expected there."""
    walked = ""
    for name, index in _STEP.findall(path):
        annotation = _without_none(annotation)
        if name:
            walked += f".{name}"
            annotation = next(one.type for one in msgspec.structs.fields(annotation) if one.encode_name == name)
            value = value.get(name) if isinstance(value, Mapping) else None
        elif index == "...":
            annotation = get_args(annotation)[1]
            key = _first_bad_key(value, annotation)
            walked, value = f"{walked}.{key}", value[key]
        else:
            walked += f"[{index}]"
            annotation, value = get_args(annotation)[0], value[int(index)]
    return walked.lstrip("."), _without_none(annotation)


def _first_bad_key(values: Mapping[str, Any], annotation: Any) -> str:
    for key, value in values.items():
        try:
            msgspec.convert(value, annotation)
        except msgspec.ValidationError:
            return key
    return "..."


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return next(one for one in get_args(annotation) if one is not NoneType)


def one_of(choices: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
