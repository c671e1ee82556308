"""Load it with `source <(birdctl completion bash)`, `source <(birdctl completion zsh)` or
`birdctl completion fish | source`. Made from the parsers, so it knows every verb and flag.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from birdctl.cli.commands import COMMANDS, Command


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag under all its names; `values` are those it can have, `takes_value` says that it has one."""

    names: tuple[str, ...]
    help: str
    values: tuple[str, ...]
    takes_value: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="the shell")


def run(args: argparse.Namespace) -> int:
    print(SCRIPTS[args.shell]())
    return 0


def flags(command: Command) -> tuple[Flag, ...]:
    """Every flag of one verb."""
    from birdctl.cli.parser import actions, build  # noqa: PLC0415 - it loads every verb's module

    return tuple(_flag(action) for action in actions(build(command)[0], flags=True))


def _flag(action: argparse.Action) -> Flag:
    choices = tuple(map(str, action.choices or ()))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    values = choices or (tuple(metavar.split("|")) if "|" in metavar else ())
    return Flag(tuple(action.option_strings), (action.help or "").replace("%%", "%"), values, action.nargs != 0)


def _next_words() -> dict[str, list[str]]:
    """What may follow each beginning of a verb: the verbs themselves after nothing."""
    following: dict[str, list[str]] = {}
    for command in COMMANDS:
        for length, word in enumerate(command.words):
            known = following.setdefault(" ".join(command.words[:length]), [])
            if word not in known:
                known.append(word)
    following["completion"] = list(SCRIPTS)
    return following


def _associative(name: str, entries: dict[str, str]) -> str:
    lines = "\n".join(f"  [{_quoted(key)}]={_quoted(value)}" for key, value in entries.items())
    return f"typeset -gA {name}\n{name}=(\n{lines}\n)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _tables() -> str:
    """The shell's associative arrays: words, flags by verb, values by verb and flag."""
    by_verb = {command.name: flags(command) for command in COMMANDS}
    words = {verb or "-": " ".join(following) for verb, following in _next_words().items()}
    names = {verb: " ".join(name for flag in found for name in flag.names) for verb, found in by_verb.items()}
    values = {
        f"{verb} {name}": " ".join(flag.values)
        for verb, found in by_verb.items()
        for flag in found
        for name in flag.names
        if flag.values
    }
    return "\n".join(
        (
            _associative("_birdctl_words", words),
            _associative("_birdctl_flags", names),
            _associative("_birdctl_values", values),
        )
    )


_BASH = """
_birdctl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb="" word choices
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word != -* && " ${_birdctl_words[${verb:--}]} " == *" $word "* ]]; then
      verb="${verb:+$verb }$word"
    fi
  done
  if [[ $previous == -* && -n ${_birdctl_values[$verb $previous]} ]]; then
    choices=${_birdctl_values[$verb $previous]}
  elif [[ $current == -* ]]; then
    choices=${_birdctl_flags[${verb:-agent}]}
  else
    choices=${_birdctl_words[${verb:--}]}
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
  [[ ${#COMPREPLY[@]} -gt 0 || -n $choices ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _birdctl birdctl"""

_ZSH = """
_birdctl() {
  local current=$words[CURRENT] previous=$words[CURRENT-1] verb="" word choices
  for word in ${words[2,CURRENT-1]}; do
    if [[ $word != -* && " ${_birdctl_words[${verb:--}]} " == *" $word "* ]]; then
      verb="${verb:+$verb }$word"
    fi
  done
  if [[ $previous == -* && -n ${_birdctl_values[$verb $previous]} ]]; then
    choices=${_birdctl_values[$verb $previous]}
  elif [[ $current == -* ]]; then
    choices=${_birdctl_flags[${verb:-agent}]}
  else
    choices=${_birdctl_words[${verb:--}]}
  fi
  if [[ -n $choices ]]; then compadd -- ${=choices}; else _files; fi
}
compdef _birdctl birdctl"""


def bash() -> str:
    return f"# bash completion of birdctl\n{_tables()}{_BASH}"


def zsh() -> str:
    return f"#compdef birdctl\n{_tables()}{_ZSH}"


def fish() -> str:
    lines = ["# fish completion of birdctl", "complete -c birdctl -f"]
    for beginning, following in _next_words().items():
        condition = f"__fish_seen_subcommand_from {beginning}" if beginning else "__fish_use_subcommand"
        lines.append(f"complete -c birdctl -n {_quoted(condition)} -a {_quoted(' '.join(following))}")
    for command in COMMANDS:
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words)
        lines += [f"complete -c birdctl -n {_quoted(condition)} {_fish_flag(flag)}" for flag in flags(command)]
    return "\n".join(lines)


def _fish_flag(flag: Flag) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    values = f"-x -a {_quoted(' '.join(flag.values))} " if flag.values else "-r " if flag.takes_value else ""
    return f"{' '.join(names)} {values}-d {_quoted(flag.help)}"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
