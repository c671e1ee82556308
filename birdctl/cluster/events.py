"""What a source tells the store: complete lists of one kind, and single changes between them.

Every kind begins with one `Replaced`; an event about a kind that was never replaced is not sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from birdctl.cluster.objects import Object
from birdctl.errors import InputError


@dataclass(frozen=True, slots=True)
class Replaced:
    """The complete list of one kind; `errors` are the objects left out, by key, `remains` what counts in their place.

    With `type` Object it carries no objects: its errors are texts that hold no recognisable object, by place.
    """

    type: type[Object]
    objects: tuple[Object, ...] = ()
    errors: Mapping[str, InputError] = field(default_factory=dict)
    remains: Mapping[str, Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """An object is new or has changed."""

    object: Object

    @property
    def type(self) -> type[Object]:
        return type(self.object)


@dataclass(frozen=True, slots=True)
class Deleted:
    type: type[Object]
    key: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object is new or has changed, and cannot be understood: it is left out, and `remains` counts in its place."""

    type: type[Object]
    key: str
    error: InputError
    remains: Object | None = None


Event = Replaced | Changed | Deleted | Rejected


def replaced(type_: type[Object], objects: Iterable[Object], left_out: Collection[Rejected]) -> Replaced:
    """The complete list of one kind."""
    return Replaced(
        type_,
        tuple(objects),
        {each.key: each.error for each in left_out},
        {each.key: each.remains for each in left_out if each.remains},
    )
