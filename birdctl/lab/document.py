"""YAML values that know their place: every error about a topology carries file, line and field."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from birdctl.errors import InputError


@dataclass(frozen=True, slots=True)
class Item:
    """One value of the document, with the file it is in and the path that leads to it."""

    file: Path
    path: str
    node: yaml.Node

    def error(self, problem: str) -> InputError:
        return InputError(f"{self.file}:{self.node.start_mark.line + 1}", self.path, problem)

    def text(self) -> str:
        """A scalar as it is written. Raises InputError, also for environment substitution (`$`)."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("expected a text")
        value = str(self.node.value)
        if "$" in value:
            raise self.error("`$` is not supported: containerlab would substitute the caller's environment here")
        return value

    def number(self, low: int, high: int) -> int:
        if not (text := self.text()).isdecimal() or not low <= int(text) <= high:
            raise self.error(f"expected a number from {low} to {high}, got {text!r}")
        return int(text)

    def items(self) -> tuple[Item, ...]:
        """The members of a list; an absent value is an empty list."""
        if self._is_null():
            return ()
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("expected a list")
        return tuple(Item(self.file, f"{self.path}[{index}]", node) for index, node in enumerate(self.node.value))

    def entries(self) -> dict[str, Item]:
        """The members of a map by key; an absent value is an empty map. A repeated key is refused."""
        if self._is_null():
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected a map")
        found: dict[str, Item] = {}
        for key, value in self.node.value:
            name = Item(self.file, self.path, key).text()
            item = Item(self.file, f"{self.path}.{name}" if self.path else name, value)
            if name in found:
                raise InputError(f"{self.file}:{key.start_mark.line + 1}", item.path, "is given twice")
            found[name] = item
        return found

    def fields(self, honoured: Collection[str], ignored: Collection[str] = ()) -> dict[str, Item]:
        """The honoured entries of a map. Raises InputError for one that is neither honoured nor ignored."""
        entries = self.entries()
        for name, item in entries.items():
            if name not in honoured and name not in ignored:
                raise item.error(f"is not supported; understood here: {', '.join(honoured)}")
        return {name: item for name, item in entries.items() if name in honoured}

    def _is_null(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"


def read(file: Path) -> Item:
    """The document in `file`. Raises InputError when it cannot be read, is no YAML, or is empty."""
    try:
        node = yaml.compose(file.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise InputError(str(file), "", f"cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{file}:{line}", "", f"is not YAML: {error.problem}") from None
    if node is None:
        raise InputError(str(file), "", "is empty")
    return Item(file, "", node)
