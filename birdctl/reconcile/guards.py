"""What a plan must not do unless it is forced. Every refusal is one line with its numbers.

Emptying a node is nearly always somebody's mistake elsewhere (a label renamed, a folder half copied), and the node has
a working configuration to keep meanwhile. What is not established or was never there is nothing to protect.
"""

from __future__ import annotations

from collections.abc import Collection

from birdctl.addresses import Prefix
from birdctl.errors import InputError
from birdctl.routing.inventory import Inventory
from birdctl.routing.model import BirdConfig, Channel, Filter, Originated, PeerType, Term


def refusals(
    running: Inventory | None, desired: Inventory, config: BirdConfig, established: Collection[str]
) -> tuple[str, ...]:
    """Reasons to refuse going from `running` (None: nothing of ours runs) to `desired`, the inventory of `config`.

    `established` are the protocols whose sessions are up.
    """
    found = exceeded_limits(config)
    if running is not None:
        found = [*_sessions_gone(running, desired, established), *_prefixes_gone(running, desired), *found]
    return tuple(found)


def misconfigured(problems: Collection[InputError], lost: Collection[str]) -> tuple[str, ...]:
    """The reason not to lose Established sessions (`lost`) over a BGPConfiguration that is not understood: without it
    the settings decide, and with another ASN or topology every session restarts.
    """
    faults = [each for each in problems if each.origin.endswith("BGPConfiguration default")]
    if not faults or not lost:
        return ()
    return (f"would interrupt {len(lost)} Established sessions over a fault ({faults[0]})",)


def foreign_sessions(digest: str | None, established: Collection[str]) -> tuple[str, ...]:
    """The reason not to replace a configuration that is not ours (its digest is None) and has sessions up."""
    if digest is not None or not established:
        return ()
    return (f"BIRD runs somebody else's configuration with {len(established)} sessions Established",)


def _sessions_gone(running: Inventory, desired: Inventory, established: Collection[str]) -> list[str]:
    up = {name for name in running.sessions if name in established}
    if up and not desired.sessions:
        return [
            f"would remove {len(running.sessions)} of {len(running.sessions)} sessions, {len(up)} of them Established"
        ]
    return _reflectors_gone(running, desired, up)


def _reflectors_gone(running: Inventory, desired: Inventory, up: Collection[str]) -> list[str]:
    """A node that keeps mesh sessions, or gets a reflector that it did not have, is not cut off."""
    before = {name for name, each in running.sessions.items() if each.type is PeerType.REFLECTOR}
    reachable = sorted(running.sessions[name].peer for name in before & set(up))
    kept = {name for name, each in desired.sessions.items() if each.type is not PeerType.EXTERNAL}
    if not reachable or kept - before or kept & set(up):
        return []
    return [
        f"would remove the last {len(reachable)} reachable of {len(before)} route reflectors ({', '.join(reachable)})"
    ]


def _prefixes_gone(running: Inventory, desired: Inventory) -> list[str]:
    before = _prefixes(running)
    return [f"withdraws {len(before)} of {len(before)} prefixes"] if before and not _prefixes(desired) else []


def _prefixes(inventory: Inventory) -> set[str]:
    return {prefix for prefixes in inventory.originated.values() for prefix in prefixes}


def exceeded_limits(config: BirdConfig) -> list[str]:
    """Export limits that the node's own prefixes alone exceed, where that would cost routes or the session."""
    filters = {each.name: each for each in config.filters}
    limited = [
        (session.peer, channel, channel.export_limit)
        for session in config.sessions
        for channel in session.channels
        if channel.export_limit and channel.export_limit.action != "warn"
    ]
    counted = [
        (peer, limit, channel.family, _exported(channel, filters, config.originated))
        for peer, channel, limit in limited
    ]
    return [
        f"{peer} would be sent {count} {family} prefixes, its export limit is {limit.prefixes} ({limit.action})"
        for peer, limit, family, count in counted
        if count > limit.prefixes
    ]


def _exported(channel: Channel, filters: dict[str, Filter], originated: tuple[Originated, ...]) -> int:
    chosen = filters.get(channel.export_filter)
    return sum(
        chosen is not None and _accepts(chosen, each.name, prefix)
        for each in originated
        if each.family is channel.family
        for prefix in each.prefixes
    )


def _accepts(chosen: Filter, protocol: str, prefix: Prefix) -> bool:
    """A filter's verdict on a static route of this node: the first term that takes it decides."""
    return next((term.accept for term in chosen.terms if _takes(term, protocol, prefix)), chosen.accept_rest)


def _takes(term: Term, protocol: str, prefix: Prefix) -> bool:
    if term.protocols and protocol not in term.protocols:
        return False
    if term.sources and "RTS_STATIC" not in term.sources:
        return False
    return not term.prefixes or any(
        prefix.version == each.prefix.version
        and prefix.subnet_of(each.prefix)  # type: ignore[arg-type]
        and each.min_length <= prefix.prefixlen <= each.max_length
        for each in term.prefixes
    )
