"""`birdctl VERB …`: finds the verb, runs it, turns its result into an exit code.

0 done · 1 expected error, one line on stderr · 2 usage, or a partial answer · 3 a bug · 4 `plan --exit-code` with
something to do · 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from birdctl import __version__
from birdctl.cli import parser as parsers
from birdctl.cli.commands import COMMANDS, matching
from birdctl.errors import BirdctlError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one call."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except BirdctlError as error:
        print(f"birdctl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say to it
        return 0
    except Exception:  # noqa: BLE001 - the last line of defence: a bug has its own exit code
        import traceback  # noqa: PLC0415 - only a bug pays for it

        traceback.print_exc()
        return 3


def _run(argv: list[str]) -> int:
    root = parsers.root()
    early = root.parse(argv)
    if early.version:
        print(f"birdctl {__version__}")
        return 0
    words = early.words
    if not words:
        root.print_help()
        return 2
    command = matching(words)
    if command is None:
        print(_group_help(root, words))
        return 0
    parser, module = parsers.build(command)
    args = parser.parse(words[len(command.words) :], early)
    code: int = module.run(args)
    sys.stdout.flush()
    return code


def _group_help(root: parsers.Parser, words: list[str]) -> str:
    """The overview of `birdctl show --help`; ends the program for what is no verb."""
    group = words[0]
    known = ", ".join(" ".join(each.words[1:]) for each in COMMANDS if each.words[0] == group)
    if not known:
        root.error(f"unknown verb {group!r}")
    if words[1:2] not in (["-h"], ["--help"]):
        root.error(f"birdctl {' '.join(words[:2])}: say one of {known}")
    return f"usage: birdctl {group} …\n\n{parsers.overview(group)}"
