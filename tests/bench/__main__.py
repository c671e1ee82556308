"""`python -m tests.bench [ROW...]`: measures the rows, prints the table, writes build/bench.json.

Needs root, BIRD, etcd and a kube-apiserver binary in KUBE_APISERVER. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from tests.bench.isolation import isolate
from tests.bench.report import Outcome, Row, as_json, table
from tests.bench.rows import ROWS

_RESULT = Path("build/bench.json")


def main() -> int:
    arguments = _arguments()
    private = isolate()
    outcomes = [_measure(row, arguments.keep or private) for row in ROWS if row.name in (arguments.rows or [row.name])]
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(as_json(outcomes))
    print(table(outcomes))
    return 0 if all(outcome.met for outcome in outcomes) else 1


def _arguments() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all of {', '.join(names)}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and files of every row here")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return arguments


def _measure(row: Row, scratch: Path) -> Outcome:
    print(f"measuring {row.name} ...", file=sys.stderr, flush=True)
    folder = scratch / row.name
    folder.mkdir(parents=True)
    try:
        return Outcome(row=row, measured=row.measure(folder))
    except Exception as error:  # noqa: BLE001 - one row that fails must not hide the others
        traceback.print_exc()
        return Outcome(row=row, measured=None, error=f"{type(error).__name__}: {error}".partition("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
