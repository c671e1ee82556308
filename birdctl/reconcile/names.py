"""Names in the plans of all domains. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


def some(names: Sequence[str], limit: int) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
