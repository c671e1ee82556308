"""One setting: a line of the table, and how a field of a dataclass declares it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from birdctl import values

_SPECIFICATION = "birdctl.setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the table. `names` without dashes, the first is the field's own; `variables` likewise."""

    field: str
    kind: values.Kind[Any]
    group: str
    help: str
    default: Any
    live: bool
    names: tuple[str, ...]
    variables: tuple[str, ...]

    @property
    def flag(self) -> str:
        return f"--{self.names[0]}"

    @property
    def shown_default(self) -> str:
        return self.kind.show(self.default)


def setting(
    default: Any,
    kind: values.Kind[Any],
    group: str,
    text: str,
    *,
    live: bool = False,
    also: tuple[str, ...] = (),
    also_variables: tuple[str, ...] = (),
) -> Any:
    """A field of a dataclass of settings; `live`: a change of the file takes effect without a restart."""
    specification = (kind, group, text, live, also, also_variables)
    return dataclasses.field(default=default, metadata={_SPECIFICATION: specification})


def specified(field: dataclasses.Field[Any]) -> Setting:
    """The line of the table that a field declares."""
    kind, group, text, live, also, also_variables = field.metadata[_SPECIFICATION]
    return Setting(
        field=field.name,
        kind=kind,
        group=group,
        help=text,
        default=field.default,
        live=live,
        names=(field.name.replace("_", "-"), *also),
        variables=(f"BIRDCTL_{field.name.upper()}", *also_variables),
    )
