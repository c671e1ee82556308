"""How long ago, as kubectl says it: `42s`, `5m30s`, `3h`, `3d4h`, `2y40d`."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 86400 * 365

# Up to this many seconds, in this unit, and with this smaller unit where one is shown (apimachinery's HumanDuration).
_STEPS = (
    (2 * _MINUTE, (1, "s"), None),
    (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
    (3 * _HOUR, (_MINUTE, "m"), None),
    (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
    (2 * _DAY, (_HOUR, "h"), None),
    (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
    (2 * _YEAR, (_DAY, "d"), None),
    (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
)


def age(seconds: float | None) -> str:
    """The age of a table; `-` for None."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    for limit, (unit, letter), smaller in _STEPS:
        if whole < limit:
            return f"{whole // unit}{letter}{_rest(whole % unit, smaller)}"
    return f"{whole // _YEAR}y"


def _rest(seconds: int, unit: tuple[int, str] | None) -> str:
    return f"{seconds // unit[0]}{unit[1]}" if unit and seconds >= unit[0] else ""
