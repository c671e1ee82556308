"""The README's tables of verbs, settings and metrics, made from the code: `python -m birdctl.cli.reference README.md`.

Each table stands between `<!-- NAME -->` and `<!-- /NAME -->`; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from birdctl import settings
from birdctl.cli.commands import COMMANDS, Command
from birdctl.cli.parser import actions, build, placeholder

Row = tuple[str, ...]


def verbs() -> str:
    """One row per verb: what it does, and the flags that are no settings. What a group shares has a row of its own."""
    groups = (tuple(commands) for _, commands in groupby(COMMANDS, lambda command: command.words[0]))
    return _table(("verb", "does", "flags besides settings"), (row for group in groups for row in _rows(group)))


def settings_table() -> str:
    """One row per setting. `live`: a change in the file takes effect without a restart."""
    rows = (
        (
            ", ".join(f"`--{name}`" for name in entry.names),
            f"`{entry.shown_default}`" if entry.shown_default else "",
            "yes" if entry.live else "",
            entry.help,
        )
        for entry in settings.table()
    )
    return _table(("flag", "default", "live", "meaning"), rows)


def metrics() -> str:
    """One row per metric of the agent."""
    from birdctl.observe.metrics import DEFINITIONS  # noqa: PLC0415 - nobody else needs its library here

    rows = (
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help)
        for each in DEFINITIONS
    )
    return _table(("metric", "kind", "labels", "meaning"), rows)


def filled(text: str) -> str:
    """`text` with every table renewed. Raises ValueError where a marker is missing."""
    for name, table in (("verbs", verbs()), ("settings", settings_table()), ("metrics", metrics())):
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not (opening and closing):
            raise ValueError(f"expected a table between <!-- {name} --> and <!-- /{name} -->")
        text = f"{before}{opening}{table}\n{closing}{after}"
    return text


def _rows(group: tuple[Command, ...]) -> Iterator[Row]:
    flags = {command: _flags(command) for command in group}
    shared = [flag for flag in flags[group[0]] if len(group) > 1 and all(flag in each for each in flags.values())]
    if shared:
        yield f"`birdctl {group[0].words[0]} …`", "all of these", ", ".join(shared)
    for command in group:
        own = [flag for flag in flags[command] if flag not in shared]
        yield f"`birdctl {_usage(command)}`", command.summary, ", ".join(own)


def _usage(command: Command) -> str:
    return " ".join([command.name, *map(placeholder, actions(build(command)[0], flags=False))])


def _flags(command: Command) -> list[str]:
    known = {"help", *(entry.field for entry in settings.table())}
    own = (action for action in actions(build(command)[0], flags=True) if action.dest not in known)
    return [f"`{action.option_strings[-1]}{'' if action.nargs == 0 else f' {placeholder(action)}'}`" for action in own]


def _table(headers: Row, rows: Iterable[Row]) -> str:
    lines = (headers, ("---",) * len(headers), *rows)
    escaped = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    readme.write_text(filled(readme.read_text()))
