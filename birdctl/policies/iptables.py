"""The filter tables of this network namespace, through the iptables programs of the mode that the host uses.

Reading is `iptables-save -c`, a change one `iptables-restore --noflush`: one transaction a family, and nothing in it
names a chain or rule of somebody else.
"""

from __future__ import annotations

import enum
import re
import subprocess
from collections.abc import Sequence

from birdctl.addresses import Family
from birdctl.errors import BackendError, Unavailable
from birdctl.policies import iptables_text
from birdctl.policies.iptables_change import TableChange
from birdctl.policies.iptables_text import Saved

_PROGRAMS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_LOCK_SECONDS = "10"
_TIMEOUT = 30.0
_REFUSED_LINE = re.compile(r"line:? (\d+)")


class Mode(enum.StrEnum):
    """Which of the kernel's two packet filters iptables' programs write to."""

    NFT = "nft"
    LEGACY = "legacy"


class IptablesBackend:
    """The filter tables of one mode."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def read(self, family: Family) -> Saved:
        """Our chains and all hooks, with counters. Raises Unavailable when the program is not there."""
        text = _run([self._program(family, "save"), "-c", "-t", "filter"])
        return iptables_text.saved(text, family)

    def write(self, family: Family, change: TableChange) -> None:
        """All of it or nothing. Raises BackendError with what iptables answered."""
        _run([self._program(family, "restore"), "--noflush", "-w", _LOCK_SECONDS], change.text)

    def _program(self, family: Family, verb: str) -> str:
        return f"{_PROGRAMS[family]}-{self.mode}-{verb}"


def _run(command: Sequence[str], text: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603 (fixed programs)
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not there: install iptables") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} takes longer than {_TIMEOUT:g} s") from None
    if done.returncode:
        raise BackendError(f"{command[0]}: {_answer(done.stderr, text)}")
    return done.stdout


def _answer(answer: str, text: str) -> str:
    """iptables' first line, with the line of ours that it is about."""
    said = next((line for line in answer.splitlines() if line.strip()), "refused").strip()
    lines = text.splitlines()
    number = int(match[1]) if (match := _REFUSED_LINE.search(answer)) else 0
    return f"{said} ({lines[number - 1]})" if 0 < number <= len(lines) else said
