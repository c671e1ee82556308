"""Parsers of the verbs: settings as kube-router's flags (`--flag`, `--flag=false`, comma lists, repeatable).

Built for one verb at a time, because building is most of what a short command costs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import NoReturn

from birdctl import settings, values
from birdctl.cli import kube_router
from birdctl.cli.commands import COMMANDS, Command
from birdctl.settings.entry import Setting

GLOBAL = ("log_level", "log_format", "runtime_dir", "config")
CONNECTION = ("node", "kubeconfig", "namespace", "bird_socket", "bird_config")
"""The settings a verb needs to find the agent, BIRD and the API server."""


class Parser(argparse.ArgumentParser):
    """argparse with Go's boolean flags and one-line errors."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.booleans: set[str] = set()
        self.accepts_settings = False

    def parse(self, words: Sequence[str], namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        given = [f"{word}=true" if word in self.booleans else word for word in words]
        if self.accepts_settings:
            try:
                given = kube_router.without_foreign(given)
            except ValueError as error:
                self.error(str(error))
        return self.parse_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def add_settings(parser: argparse.ArgumentParser, fields: Collection[str] | None = None) -> None:
    """Flags for these settings, or for all. What the user leaves out is absent from the namespace."""
    if fields is None and isinstance(parser, Parser):
        parser.accepts_settings = True
    for entry in settings.table():
        if (fields is None and entry.field not in GLOBAL) or entry.field in (fields or ()):
            _add(parser, _group(parser, entry.group), entry)


def _group(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    known = (group for group in parser._action_groups if group.title == title)  # noqa: SLF001 - the only way
    return next(known, None) or parser.add_argument_group(title)


def _add(parser: argparse.ArgumentParser, group: argparse._ArgumentGroup, entry: Setting) -> None:
    flags = [f"--{name}" for name in entry.names]
    if entry.kind is values.BOOLEAN and isinstance(parser, Parser):
        parser.booleans.update(flags)
    group.add_argument(
        *flags,
        dest=entry.field,
        default=argparse.SUPPRESS,
        action="append" if entry.kind.many else "store",
        metavar=entry.kind.placeholder,
        help=_help(entry),
    )


def _help(entry: Setting) -> str:
    default = f" (default {entry.shown_default})" if entry.shown_default else ""
    return f"{entry.help}{default}".replace("%", "%%")


def build(command: Command) -> tuple[Parser, ModuleType]:
    """The parser of one verb, and its module."""
    module = importlib.import_module(command.module)
    description = f"{command.summary[0].upper()}{command.summary[1:]}.\n\n{module.__doc__ or ''}".strip()
    parser = Parser(f"birdctl {command.name}", description)
    module.arguments(parser)
    add_settings(parser, GLOBAL)
    parser.usage = usage(parser)
    return parser, module


def usage(parser: argparse.ArgumentParser) -> str:
    """`birdctl VERB ARGUMENTS [flags]`: the flags are listed below it."""
    return " ".join([parser.prog, *(placeholder(action) for action in actions(parser, flags=False)), "[flags]"])


def actions(parser: argparse.ArgumentParser, *, flags: bool) -> list[argparse.Action]:
    """The flags of a parser, or its positional arguments."""
    return [action for action in parser._actions if bool(action.option_strings) is flags]  # noqa: SLF001 - the only way


def placeholder(action: argparse.Action) -> str:
    """What stands for the value of a flag or argument."""
    return str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())


def root() -> Parser:
    """The parser of what stands before the verb."""
    parser = Parser("birdctl", "Makes every Kubernetes node a BIRD router, an IPVS load balancer and a firewall.")
    parser.usage = "birdctl [--log-level LEVEL] [--log-format FORMAT] [--runtime-dir DIR] VERB …"
    parser.epilog = "verbs:\n" + overview() + "\n\nbirdctl VERB --help says more about one."
    add_settings(parser, GLOBAL)
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def overview(group: str = "") -> str:
    """One line for each verb, or for each of a group's."""
    listed = [each for each in COMMANDS if not group or each.words[0] == group]
    width = max(len(each.name) for each in listed)
    return "\n".join(f"  {each.name:{width}}   {each.summary}" for each in listed)
