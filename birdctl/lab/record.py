"""Which labs there are and where their nodes live, as RUNTIME_DIR/lab/NAME records it; light enough for `show --lab`.

The network namespace is what identifies a node: its processes are found by it, never by a remembered process id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from birdctl.errors import BackendError, InputError
from birdctl.lab.topology import Topology

RUNTIME_DIR = Path("/run/birdctl")
_RECORD = "lab.json"
_NAMESPACES = Path("/run/netns")


class _Record(msgspec.Struct, frozen=True):
    file: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNode:
    """One node of a lab as the machine sees it; `folder` keeps all its files."""

    lab: str
    name: str
    folder: Path

    @property
    def netns(self) -> str:
        """The name of its network namespace, for `ip netns exec`."""
        return f"clab-{self.lab}-{self.name}"

    @property
    def namespace(self) -> Path:
        return _NAMESPACES / self.netns

    @property
    def runtime_dir(self) -> Path:
        """The node's /run/birdctl, seen from the machine."""
        return self.folder / "run" / "birdctl"

    @property
    def bird_socket(self) -> Path:
        """The node's /run/bird/bird.ctl, seen from the machine."""
        return self.folder / "run" / "bird" / "bird.ctl"

    @property
    def bird_config(self) -> Path:
        """The node's /etc/bird/bird.conf, seen from the machine."""
        return self.folder / "etc-bird" / "bird.conf"


def folder(lab: str, runtime_dir: Path = RUNTIME_DIR) -> Path:
    return runtime_dir / "lab" / lab


def places(lab: str, names: Iterable[str], runtime_dir: Path = RUNTIME_DIR) -> dict[str, LabNode]:
    """Where nodes of these names live, by name."""
    return {name: LabNode(lab=lab, name=name, folder=folder(lab, runtime_dir) / name) for name in names}


def write(topology: Topology, runtime_dir: Path) -> None:
    """Claims the lab's name, before anything of it is made. Raises BackendError when it is taken."""
    home = folder(topology.name, runtime_dir)
    names = tuple(node.name for node in topology.nodes)
    try:
        home.mkdir(parents=True)
    except FileExistsError:
        raise BackendError(
            f"lab {topology.name} is up already, or was left half-made: `birdctl lab down {topology.file}` removes it"
        ) from None
    except OSError as error:
        raise BackendError(f"{home} cannot be made: {error.strerror} (root is needed)") from None
    for place in places(topology.name, names, runtime_dir).values():
        if place.namespace.exists():
            home.rmdir()
            raise BackendError(f"there is a network namespace {place.netns} already, of something else")
    content = _Record(str(topology.file), names)
    (home / _RECORD).write_bytes(msgspec.json.encode(content))


def labs(runtime_dir: Path = RUNTIME_DIR) -> dict[str, Path]:
    """Every recorded lab with its topology file."""
    homes = sorted((runtime_dir / "lab").glob("*/"))
    return {home.name: Path(_read(home).file) for home in homes}


def nodes(lab: str, runtime_dir: Path = RUNTIME_DIR) -> tuple[LabNode, ...]:
    """The nodes of a lab, in the topology's order. Raises InputError when there is no such lab."""
    if not folder(lab, runtime_dir).exists():
        raise InputError(f"lab {lab}", "", f"is not up; there are {', '.join(labs(runtime_dir)) or 'none'}")
    return tuple(places(lab, _read(folder(lab, runtime_dir)).nodes, runtime_dir).values())


def _read(home: Path) -> _Record:
    """An `up` that was killed before it wrote its record had made nothing."""
    try:
        return msgspec.json.decode((home / _RECORD).read_bytes(), type=_Record)
    except FileNotFoundError:
        return _Record()


def processes(node: LabNode) -> Iterator[int]:
    """The ids of all processes in the node's network namespace."""
    try:
        namespace = node.namespace.stat()
    except FileNotFoundError:
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_in(int(entry.name), namespace):
            yield int(entry.name)


def is_in(pid: int, namespace: os.stat_result) -> bool:
    """Whether the process lives in that network namespace."""
    try:
        found = Path(f"/proc/{pid}/ns/net").stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (namespace.st_dev, namespace.st_ino)


def holder(node: LabNode) -> int | None:
    """The id of the process that holds the node, None when the node is not running."""
    return next((pid for pid in processes(node) if _is_first_process(pid)), None)


def _is_first_process(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return len(ids) > 1 and ids[-1] == "1"
