"""The documents of a manifest: plain JSON values, each with its place in the text.

A text that is broken in one document is read around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from birdctl.errors import InputError

_DOCUMENT_START = re.compile(rb"^---(?=\s|$)", re.MULTILINE)


def documents(text: bytes, origin: str) -> Iterator[tuple[str, Any]]:
    """Each document with its place, or the InputError that stands for it; lists (`kind: NodeList`) are opened.

    `origin` is the file's name: one that ends in .json holds a single JSON document, any other YAML.
    """
    for place, document in _json(text, origin) if origin.endswith(".json") else _yaml(text, origin):
        if isinstance(document, Mapping) and isinstance(document.get("items"), list):
            inherited = _type_of_items(document)
            for number, item in enumerate(document["items"]):
                yield f"{place} item {number}", {**inherited, **item} if isinstance(item, Mapping) else item
        elif document is not None:
            yield place, document


def _type_of_items(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the items of a `NodeList` need not say themselves; a plain `List` says nothing about its items."""
    kind = str(document.get("kind", "")).removesuffix("List")
    return {"apiVersion": document.get("apiVersion"), "kind": kind} if kind else {}


def _json(text: bytes, origin: str) -> Iterator[tuple[str, Any]]:
    try:
        yield origin, msgspec.json.decode(text) if text.strip() else None
    except msgspec.DecodeError as error:
        yield origin, InputError(origin, "", f"not JSON: {error}")


def _yaml(text: bytes, origin: str) -> Iterator[tuple[str, Any]]:
    import yaml  # noqa: PLC0415 - only manifests pay for it

    starts = [0, *(match.start() for match in _DOCUMENT_START.finditer(text) if match.start())]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line = text.count(b"\n", 0, start) + 1
        try:
            yield _place(origin, line), yaml.load(text[start:end], _loader())  # noqa: S506 - derived from the safe one
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = _place(origin, line + (mark.line if mark else 0))
            yield place, InputError(place, "", f"not YAML: {getattr(error, 'problem', None) or error}")


def _place(origin: str, line: int) -> str:
    return f"{origin} line {line}".lstrip()


@cache
def _loader() -> Any:
    """The C parser, made to refuse what would silently be lost, and to leave dates the texts that they are in JSON."""
    import yaml  # noqa: PLC0415 - only manifests pay for it

    class Loader(yaml.CSafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
    return Loader
