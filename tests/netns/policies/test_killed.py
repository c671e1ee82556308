"""Whenever the writer is killed, packets that the old and the new policy agree on meet what both say.

A process of its own changes the policies and kills itself with SIGKILL at one write after the other: before it, and for
iptables-restore also in the middle of the text and before its answer.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
from contextlib import closing, suppress
from itertools import count

import pytest

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from tests.bird.daemon import Namespace
from tests.netns.policies.kernel import address, answers, compiled
from tests.unit.policies.build import block, cluster_policy, labels, pod, policy

WEB, DB = labels(app="web"), labels(app="db")
FROM_CLIENT = {"from": [{"podSelector": labels(app="client")}, block("192.0.2.0/24", "192.0.2.0/28")]}
FROM_DB = {"from": [{"podSelector": DB}]}
ONE = policy("red/one", WEB, ingress=[{**FROM_CLIENT, "ports": [{"port": "http"}]}])
OTHER = policy("red/one", WEB, ingress=[FROM_DB], policyTypes=["Ingress", "Egress"])
OF_DB = policy("red/db", DB, ingress=[{"from": [{"podSelector": labels(app="client")}]}])
MUTE_DB = policy("red/mute", DB, policyTypes=["Egress"])
TO_WEB = policy("red/web", WEB, ingress=[FROM_DB])
GUARD = cluster_policy("guard", egress=[{"action": "Deny", "to": [{"networks": ["10.9.3.0/24"]}]}])


def db_as(app):
    return pod("red/db", address("db"), address("db", Family.IPV6), labels={"app": app})


STATES = {
    "none": (),
    "one": (ONE,),
    "other": (OTHER, OF_DB),
    "relabelled": (ONE, OF_DB, db_as("web")),
    "refused at its own end": (MUTE_DB, TO_WEB),
    "refused at the other end": (MUTE_DB, TO_WEB, db_as("free")),
    "guarded": (policy("red/one", WEB, staged=True, ingress=[FROM_CLIENT]), GUARD),
}
CHANGES = [
    ("none", "one"),
    ("one", "other"),
    ("other", "relabelled"),
    ("relabelled", "guarded"),
    ("guarded", "none"),
    ("refused at its own end", "refused at the other end"),
    ("refused at the other end", "refused at its own end"),
]

_PR_SET_CHILD_SUBREAPER = 36
_NLM_F_DUMP = 0x300


@pytest.fixture(autouse=True)
def _node():
    """What a killed writer leaves running is then ours to wait for."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Namespace() as space, space.inside():
        yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Boundaries:
    """Counts the places where this process may be killed, and kills it at one of them."""

    def __init__(self, fatal):
        self._fatal = fatal
        self._numbers = count()
        self._sendall, self._run = socket.socket.sendall, subprocess.run
        subprocess.run = self._start

        def sendall(to, data):
            return self._send(to, data)

        socket.socket.sendall = sendall

    def _is_fatal(self):
        return next(self._numbers) == self._fatal

    def _send(self, to, data):
        _, _, flags = struct.unpack_from("=IHH", data)
        if not flags & _NLM_F_DUMP and self._is_fatal():
            kill_this_process()
        return self._sendall(to, data)

    def _start(self, command, *, input="", **options):  # noqa: A002 - subprocess' name
        for part in ("", input[: len(input) // 2], input.removesuffix("COMMIT\n"), input) if input else ():
            if self._is_fatal():
                if part:
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                    process.stdin.write(part)
                    process.stdin.flush()
                kill_this_process()
        return self._run(command, input=input, **options)


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def is_killed_at(fatal, work):
    """Whether a process that does this work comes to its boundary number `fatal`, and is killed there."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            Boundaries(fatal)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    with suppress(ChildProcessError):
        while os.waitpid(-child, 0):
            pass
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_whenever_it_is_killed_packets_meet_the_old_policy_or_the_new_one(mode, old, new):
    before, after = compiled(*STATES[old]), compiled(*STATES[new])
    allowed = answers(before), answers(after)
    for boundary in count():
        with closing(PolicyBackend(mode)) as writer, closing(PolicyBackend(mode)) as successor:
            writer.apply(before)
            killed = is_killed_at(boundary, lambda: writer.apply(after))
            found = answers(successor.read())
            assert all(answer in (old[each], new[each]) for (old, new) in [allowed] for each, answer in found.items())
            assert not successor.apply(after).refused
            left = successor.read()
            assert (left.tables, left.sets.keys()) == (after.tables, after.sets.keys())
        if not killed:
            assert boundary > 5
            return
