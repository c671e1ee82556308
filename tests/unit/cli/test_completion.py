"""Completion scripts know every verb and flag, and bash can use its one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from birdctl.cli import completion
from birdctl.cli.commands import COMMANDS


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "birdctl.bash"
    path.write_text(completion.bash())
    return path


def completed(script: Path, line: str) -> list[str]:
    """What bash offers at the end of `line`."""
    program = f"""
      set -eu
      source {script}
      read -ra COMP_WORDS <<< {line!r}
      [[ {line!r} != *' ' ]] || COMP_WORDS+=('')
      COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
      COMPREPLY=()
      set +eu
      _birdctl
      printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_offers_every_verb(script: Path) -> None:
    assert completed(script, "birdctl ") == list(dict.fromkeys(command.words[0] for command in COMMANDS))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("birdctl sh", ["show"]),
        ("birdctl show p", ["peers", "policies"]),
        (
            "birdctl show ",
            ["peers", "routes", "advertisements", "bfd", "nodes", "status", "config", "policies", "services"],
        ),
        ("birdctl show peers --f", ["--failed"]),
        ("birdctl show peers -o ", ["table", "wide", "json", "yaml", "name"]),
        ("birdctl show peers --output j", ["json"]),
        ("birdctl explain ", ["route", "policy", "service"]),
        ("birdctl --log-level debug wait --for ", ["converged", "healthy", "established"]),
        ("birdctl wait --for converged --time", ["--timeout"]),
        ("birdctl completion ", ["bash", "zsh", "fish"]),
        ("birdctl agent --log-format ", ["text", "json"]),
        ("birdctl agent --enable-ibgp", ["--enable-ibgp"]),
    ],
)
def test_bash_offers_what_may_follow(script: Path, line: str, offered: list[str]) -> None:
    assert completed(script, line) == offered


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_every_shell_knows_every_verb_and_flag(shell: str) -> None:
    text = completion.SCRIPTS[shell]()
    for command in COMMANDS:
        assert all(word in text for word in command.words)
        for flag in completion.flags(command):
            assert all(name.lstrip("-") in text for name in flag.names)
