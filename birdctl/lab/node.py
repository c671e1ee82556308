"""A node: a container made of Linux namespaces, with the machine's programs and files of its own.

It has its own network (named `clab-LAB-NODE`, as `ip netns` shows it), processes, host name and mounts. Its first
process only holds these namespaces; when that one ends, the kernel ends all others of the node.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pyroute2 import netns

from birdctl import syscalls
from birdctl.errors import BackendError, Unavailable
from birdctl.lab import filesystem
from birdctl.lab.record import LabNode, holder, is_in, processes
from birdctl.lab.topology import Node

_HOLDER = ("/bin/sh", "-c", "while :; do sleep infinity & wait $!; done")  # waiting collects orphans
_OWN_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC


def start(place: LabNode, node: Node) -> None:
    """Makes the node, without links. Raises BackendError when the machine refuses."""
    place.folder.mkdir()
    _create_namespace(place)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _reporting(write, place, node)
    os.close(write)
    with os.fdopen(read) as pipe:
        problem = pipe.read()
    os.waitpid(child, 0)
    if problem:
        raise BackendError(f"node {node.name} cannot start: {problem}")


def _create_namespace(place: LabNode) -> None:
    try:
        netns.create(place.netns)
    except OSError as error:
        raise BackendError(
            f"network namespace {place.netns} cannot be made: {error.strerror} (root is needed)"
        ) from None


def _reporting(report: int, place: LabNode, node: Node) -> NoReturn:
    """Runs in a fork: never returns, writes what went wrong to `report`."""
    try:
        _become(place, node, report)
    except BaseException as error:  # noqa: BLE001 - a fork has no other way to say it
        os.write(report, str(error).encode())
    os._exit(1)


def _become(place: LabNode, node: Node, report: int) -> None:
    os.setsid()
    syscalls.enter(place.namespace, syscalls.CLONE_NEWNET)
    syscalls.unshare(_OWN_NAMESPACES)
    if os.fork():
        os._exit(0)
    filesystem.build(place.folder, node.binds)
    syscalls.set_hostname(node.name)
    for name, value in node.sysctls:
        Path("/proc/sys", name.replace(".", "/")).write_text(value)
    _detach(report)
    os.execv(_HOLDER[0], _HOLDER)  # noqa: S606 - a shell that only waits


def _detach(keep: int) -> None:
    """Lets go of the caller's terminal and pipes."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, keep)
    os.closerange(keep + 1, 1024)


def entering(place: LabNode, node: Node, command: Sequence[str]) -> list[str]:
    """The command that runs `command` in the node, with the node's environment only. Raises Unavailable."""
    pid = holder(place)
    if pid is None:
        raise Unavailable(f"node {node.name} is not running")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        **dict(node.env),
    }
    inside = ["nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    return [*inside, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]


def stop(place: LabNode) -> None:
    """Ends every process of the node and removes its namespaces; a node that is not there is no error."""
    for pid in processes(place):
        _end(place, pid)
    if place.namespace.exists():
        netns.remove(place.netns)


def _end(place: LabNode, pid: int) -> None:
    """Kills one process of the node and waits until it is gone (pidfd: never another one with its number)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if is_in(pid, place.namespace.stat()):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 5)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
