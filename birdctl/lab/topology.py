"""A `*.clab.yml` file as frozen values: the subset of containerlab's schema that namespaces can honour.

What containerlab needs and namespaces do not (images, privileges, management network, resources) is accepted and
ignored; everything else outside the subset is refused with file, line and field, never skipped. Magic names are
expanded where containerlab expands them: in `binds` and `exec`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from birdctl.errors import InputError
from birdctl.lab import document, merge
from birdctl.lab.document import Item

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_MIN_MTU, _MAX_MTU = 68, 65535  # what a veth takes
_ENDS = 2
DEFAULT_MTU = 9500  # containerlab's


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of the machine (`source`, None: an empty folder of the node's own) at `target` in the node."""

    source: Path | None
    target: PurePosixPath
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. `exec` and `cmd` are argument vectors (no shell); `sysctls` are names with dots."""

    name: str
    binds: tuple[Bind, ...] = ()
    exec: tuple[tuple[str, ...], ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    node: str
    interface: str
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A veth pair. `mtu` in bytes."""

    endpoints: tuple[Endpoint, Endpoint]
    mtu: int = DEFAULT_MTU


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    name: str
    file: Path
    nodes: tuple[Node, ...]
    links: tuple[Link, ...] = ()


def load(file: Path, name: str = "") -> Topology:
    """The topology in `file`, called `name` if that is given. Raises InputError with file, line and field."""
    file = file.absolute()
    top = document.read(file).fields(("name", "topology"), ("mgmt",))
    name = name or _lab_name(file, top)
    if "topology" not in top:
        raise InputError(str(file), "topology", "is missing")
    fields = top["topology"].fields(("defaults", "kinds", "groups", "nodes", "links"))
    levels = merge.levels(*(fields.get(level) for level in ("defaults", "kinds", "groups")))
    if "nodes" not in fields:
        raise top["topology"].error("has no nodes")
    nodes = tuple(_node(key, item, levels, _magic(file, name, key)) for key, item in fields["nodes"].entries().items())
    links = tuple(_link(item) for item in fields["links"].items()) if "links" in fields else ()
    _check_endpoints(fields, {node.name for node in nodes}, links)
    return Topology(name=name, file=file, nodes=nodes, links=links)


def lab_name(file: Path) -> str:
    """Only the lab's name, so that a lab whose file was spoilt meanwhile can be removed. Raises InputError."""
    return _lab_name(file, document.read(file.absolute()).entries())


def _lab_name(file: Path, top: Mapping[str, Item]) -> str:
    if "name" not in top:
        raise InputError(str(file), "name", "is missing")
    return _checked_name(top["name"], top["name"].text())


def _checked_name(item: Item, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise item.error(f"{name!r} is no name: up to 63 letters, digits, `-`, `_` and `.`, a letter or digit first")
    return name


def _magic(file: Path, lab: str, node: str) -> Mapping[str, str]:
    folder = file.parent / f"clab-{lab}"
    return {
        "__clabNodeDir__": str(folder / node),
        "__clabDir__": str(folder),
        "__clabNodeName__": node,
        "__clabLabName__": lab,
    }


def _node(name: str, item: Item, levels: merge.Levels, magic: Mapping[str, str]) -> Node:
    settings = levels.resolve(item)
    binds = {bind.target: bind for bind in (_bind(each, magic) for each in settings.binds)}
    return Node(
        name=_checked_name(item, name),
        binds=tuple(binds.values()),
        exec=tuple(_words(each, _expanded(each, magic)) for each in settings.exec),
        cmd=_words(settings.cmd, _plain(settings.cmd)) if settings.cmd else (),
        env=tuple((key, _plain(value)) for key, value in settings.env.items()),
        sysctls=tuple((key, _sysctl(key, value)) for key, value in settings.sysctls.items()),
    )


def _expanded(item: Item, magic: Mapping[str, str]) -> str:
    text = item.text()
    for name, value in magic.items():
        text = text.replace(name, value)
    return text


def _plain(item: Item) -> str:
    if "__clab" in (text := item.text()):
        raise item.error("magic names are expanded in `binds` and `exec` only")
    return text


def _words(item: Item, text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise item.error(f"cannot be split into words: {error}") from None
    if not words:
        raise item.error("is empty")
    return words


def _bind(item: Item, magic: Mapping[str, str]) -> Bind:
    parts = _expanded(item, magic).split(":")
    match parts:
        case [target]:
            return Bind(source=None, target=_target(item, target))
        case [source, target] | [source, target, "rw"]:
            return Bind(source=_source(item, source), target=_target(item, target))
        case [source, target, "ro"]:
            return Bind(source=_source(item, source), target=_target(item, target), read_only=True)
    raise item.error("expected SOURCE:TARGET, SOURCE:TARGET:ro or TARGET")


def _source(item: Item, text: str) -> Path:
    """Relative paths start at the folder of the topology file, `~` is the caller's home."""
    source = item.file.parent / Path(text).expanduser()
    if not source.exists():
        raise item.error(f"{source} does not exist")
    return source.resolve()


def _target(item: Item, text: str) -> PurePosixPath:
    target = PurePosixPath(text)
    if not target.is_absolute() or ".." in target.parts or target == PurePosixPath("/"):
        raise item.error(f"{text!r} is no absolute path in the node")
    return target


def _sysctl(name: str, item: Item) -> str:
    if not name.startswith("net."):
        raise item.error("only `net.` settings belong to a namespace; this one is the machine's")
    return _plain(item)


def _link(item: Item) -> Link:
    fields = item.fields(("type", "endpoints", "mtu"))
    if "endpoints" not in fields or len(ends := fields["endpoints"].items()) != _ENDS:
        raise item.error("needs two endpoints")
    if "type" in fields and (kind := fields["type"].text()) != "veth":
        raise fields["type"].error(f"a link of type {kind!r} is not supported, only veth")
    read = _endpoint_map if "type" in fields else _endpoint_text
    mtu = fields["mtu"].number(_MIN_MTU, _MAX_MTU) if "mtu" in fields else DEFAULT_MTU
    return Link(endpoints=(read(ends[0]), read(ends[1])), mtu=mtu)


def _endpoint_text(item: Item) -> Endpoint:
    node, colon, interface = item.text().partition(":")
    if not colon:
        raise item.error('expected "NODE:INTERFACE"')
    return Endpoint(node=node, interface=_interface(item, interface))


def _endpoint_map(item: Item) -> Endpoint:
    fields = item.fields(("node", "interface", "mac"))
    if "node" not in fields or "interface" not in fields:
        raise item.error("needs a node and an interface")
    interface = _interface(fields["interface"], fields["interface"].text())
    mac = _mac(fields["mac"]) if "mac" in fields else ""
    return Endpoint(node=fields["node"].text(), interface=interface, mac=mac)


def _interface(item: Item, name: str) -> str:
    if not _INTERFACE.fullmatch(name) or name in {".", "..", "lo"}:
        raise item.error(f"{name!r} is no name for an interface: up to 15 characters without space, `/` and `:`")
    return name


def _mac(item: Item) -> str:
    if not _MAC.fullmatch(mac := item.text()):
        raise item.error(f"{mac!r} is no MAC address")
    return mac


def _check_endpoints(fields: Mapping[str, Item], nodes: set[str], links: tuple[Link, ...]) -> None:
    taken: set[tuple[str, str]] = set()
    for link, item in zip(links, fields["links"].items() if links else (), strict=True):
        for end in link.endpoints:
            if end.node not in nodes:
                raise item.error(f"there is no node {end.node!r}")
            if (end.node, end.interface) in taken:
                raise item.error(f"{end.node}:{end.interface} is in use by another link")
            taken.add((end.node, end.interface))
