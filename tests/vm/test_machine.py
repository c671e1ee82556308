"""The machine that these tests run in can be relied upon."""

from __future__ import annotations

import subprocess
import sys

_WORK = """
import hashlib, signal, sys
signal.signal(signal.SIGALRM, lambda *_: hashlib.sha256(b"meanwhile").digest())
if sys.argv[2] == "interrupted":
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
number, digest = float(sys.argv[1]), b""
for turn in range(150_000):
    number = (number * 1.000_001 + 1 / 3) % 97.0
    digest = hashlib.blake2b(digest + b"%.17g" % number).digest() + hashlib.md5(digest).digest()
print(number, hashlib.sha512(digest * 20).hexdigest())
"""


def test_processes_that_interrupt_each_other_calculate_the_same_as_one_alone() -> None:
    """Floating-point and vector registers survive changes of process and signals."""
    alone = [_start(seed, "undisturbed").communicate()[0] for seed in range(4)]
    together = [_start(seed, "interrupted") for seed in range(4)]
    assert [each.communicate()[0] for each in together] == alone
    assert len(set(alone)) == 4


def _start(seed: int, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", _WORK, str(seed), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
