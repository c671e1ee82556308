"""What a node is made of, gathered from four levels: defaults, its kind, its group, the node itself.

As in containerlab: lists are concatenated in that order, maps are united and the nearer level wins a key, a single
value is the nearest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from birdctl.lab.document import Item

HONOURED = ("kind", "group", "binds", "exec", "cmd", "env", "sysctls")
IGNORED = (
    "image",
    "image-pull-policy",
    "restart-policy",
    "network-mode",
    "privileged",
    "cap-add",
    "ports",
    "cpu",
    "cpu-set",
    "memory",
    "shm-size",
    "stages",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level's settings, still with their places in the file."""

    kind: Item | None = None
    group: Item | None = None
    cmd: Item | None = None
    binds: tuple[Item, ...] = ()
    exec: tuple[Item, ...] = ()
    env: Mapping[str, Item] = field(default_factory=dict)
    sysctls: Mapping[str, Item] = field(default_factory=dict)


def level(item: Item) -> Level:
    """The settings in one map of the file. Raises InputError for a field outside the subset."""
    fields = item.fields(HONOURED, IGNORED)
    return Level(
        kind=fields.get("kind"),
        group=fields.get("group"),
        cmd=fields.get("cmd"),
        binds=fields["binds"].items() if "binds" in fields else (),
        exec=fields["exec"].items() if "exec" in fields else (),
        env=fields["env"].entries() if "env" in fields else {},
        sysctls=fields["sysctls"].entries() if "sysctls" in fields else {},
    )


def merged(lower: Level, upper: Level) -> Level:
    """`lower` with everything `upper`, the nearer level, adds to it or says anew."""
    return Level(
        kind=upper.kind or lower.kind,
        group=upper.group or lower.group,
        cmd=upper.cmd or lower.cmd,
        binds=lower.binds + upper.binds,
        exec=lower.exec + upper.exec,
        env={**lower.env, **upper.env},
        sysctls={**lower.sysctls, **upper.sysctls},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The three shared levels of a topology."""

    defaults: Level
    kinds: Mapping[str, Level]
    groups: Mapping[str, Level]

    def resolve(self, item: Item) -> Level:
        """All settings of the node at `item`. Raises InputError for an unknown group or another kind than linux."""
        node = level(item)
        group = self._group(node.group or self.defaults.group)
        kind = node.kind or group.kind or self.defaults.kind
        if kind is None:
            raise item.error("needs a kind: set `kind: linux` here or in topology.defaults")
        _require_linux(kind)
        below = merged(self.defaults, self.kinds.get(kind.text(), Level()))
        return merged(merged(below, group), node)

    def _group(self, name: Item | None) -> Level:
        if name is None:
            return Level()
        if name.text() not in self.groups:
            raise name.error(f"there is no group {name.text()!r} in topology.groups")
        return self.groups[name.text()]


def _require_linux(kind: Item) -> None:
    if kind.text() != "linux":
        raise kind.error(f"kind {kind.text()!r} is not supported: a namespace is of kind linux")


def levels(defaults: Item | None, kinds: Item | None, groups: Item | None) -> Levels:
    """The shared levels. Raises InputError for a kind other than linux."""
    by_kind = kinds.entries() if kinds else {}
    for name, item in by_kind.items():
        if name != "linux":
            raise item.error(f"kind {name!r} is not supported: a namespace is of kind linux")
    return Levels(
        defaults=level(defaults) if defaults else Level(),
        kinds={name: level(item) for name, item in by_kind.items()},
        groups={name: level(item) for name, item in (groups.entries() if groups else {}).items()},
    )
