"""Names in the plans of all domains. Pure."""

from __future__ import annotations

import msgspec


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)
