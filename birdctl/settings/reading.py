"""What was given: the values in flags, environment and file, each read by its kind.

All functions raise InputError naming the flag, the variable or the file's key at fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from birdctl.errors import InputError
from birdctl.settings.entry import Setting

Table = tuple[Setting, ...]
"""Every setting, in the order of declaration."""


def from_flags(table: Table, flags: object) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for entry in table:
        text = getattr(flags, entry.field, None)
        if text is not None:
            given[entry.field] = parse(entry, text if isinstance(text, str) else ",".join(text), entry.flag)
    return given


def from_environment(table: Table, environment: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for entry in table:
        variable = next((name for name in entry.variables if environment.get(name)), None)
        if variable:
            given[entry.field] = parse(entry, environment[variable], f"${variable}")
    return given


def from_file(table: Table, path: Path) -> dict[str, Any]:
    document = _read_document(path)
    known = {name: entry for entry in table for name in entry.names}
    for key in document:
        if key not in known:
            raise InputError(str(path), str(key), f"unknown setting{_closest(str(key), known)}")
    return {
        known[key].field: parse(known[key], _file_text(path, key, value), str(path), field=key)
        for key, value in document.items()
        if value is not None
    }


def _read_document(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - only who has a file pays for it

    try:
        document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise InputError(str(path), "", f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(str(path), "", f"is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InputError(str(path), "", "expected a mapping of settings, as `cluster-asn: 64512`")
    return document


def _file_text(path: Path, key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_file_text(path, key, item) for item in value)
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(str(path), key, "expected a value or a list of values")


def _closest(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only who mistypes pays for it

    matches = difflib.get_close_matches(name.replace("_", "-"), list(known), 1)
    return f"; did you mean {matches[0]}?" if matches else ""


def parse(entry: Setting, text: str, origin: str, field: str = "") -> Any:
    try:
        return entry.kind.parse(text.strip())
    except ValueError as error:
        shown = "the value" if entry.kind.secret else repr(text)
        raise InputError(origin, field, f"{shown} is not {entry.kind.expected}{_reason(entry, error)}") from None


def _reason(entry: Setting, error: ValueError) -> str:
    return f" ({error})" if str(error) and not entry.kind.secret else ""
