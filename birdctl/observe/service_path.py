"""Why a Service does or does not work on a node: what the objects say, and what kernel and BIRD have of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from birdctl.addresses import Address, Family, family, parse_address
from birdctl.netfilter.model import Port, TableName
from birdctl.observe import services
from birdctl.observe.route_path import Evidence, to_external
from birdctl.observe.service_objects import Announced, ServiceObjects
from birdctl.observe.views import Service, Step, View
from birdctl.services.model import ServerKey, VirtualServer
from birdctl.services.rules import DIRECT, INPUT, POSTROUTING, ServiceRules, set_name


class ServiceExplanation(View, frozen=True, kw_only=True):
    """Of one Service on one node. `agrees`: the kernel has what the objects say; absent when it was not read."""

    node: str
    namespace: str
    name: str
    agrees: bool | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What was read. `vips` are held on the device, `own` are the node's own addresses."""

    servers: Mapping[ServerKey, VirtualServer]
    vips: frozenset[Address]
    own: frozenset[Address]
    rules: ServiceRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of one node; a text says why something could not be read. `routes` are BIRD's, by the address they are for."""

    kernel: Kernel | str
    routes: Mapping[str, Sequence[Evidence]] | str = field(default_factory=dict)


def explain(found: ServiceObjects, seen: Seen | None) -> ServiceExplanation:
    """`seen` None: the node is not within reach."""
    namespace, _, name = found.service.rpartition("/")
    steps = list(found.steps)
    agrees = None
    if seen is None:
        steps.append(Step(subject="kernel", text=f"not looked at: ask on {found.node} itself, or with --lab"))
    elif isinstance(seen.kernel, str):
        steps.append(Step(subject="kernel", text=f"cannot be read: {seen.kernel}"))
    else:
        compared = list(_in_kernel(found, seen.kernel))
        steps += compared
        agrees = all(each.holds for each in compared)
    if seen:
        steps += _in_bird(found, seen)
    return ServiceExplanation(node=found.node, namespace=namespace, name=name, agrees=agrees, steps=tuple(steps))


def _in_kernel(found: ServiceObjects, kernel: Kernel) -> Iterator[Step]:
    for each in found.servers:
        yield from _server(each, kernel.servers.get(services.key_of(each)))
    for text in found.held:
        yield _vip(parse_address(text), kernel)
    if found.servers:
        yield from _rules(found, kernel)


def _server(wanted: Service, there: VirtualServer | None) -> Iterator[Step]:
    name = f"{wanted.address} {wanted.port}/{wanted.protocol}"
    for difference in services.differences(wanted, there):
        yield Step(subject="IPVS", holds=False, text=f"DISAGREE: {name}: {difference}")
    if there and not any(services.differences(wanted, there)):
        weights = [each.weight for each in there.real_servers]
        serving, draining = sum(map(bool, weights)), weights.count(0)
        idle = f", {draining} drain" if draining else ""
        yield Step(
            subject="IPVS", holds=True, text=f"{name}: {there.scheduler}, {there.forwarding}, {serving} serve{idle}"
        )


def _vip(address: Address, kernel: Kernel) -> Step:
    if address in kernel.vips:
        return Step(subject="VIP", holds=True, text=f"{address} is held by the node")
    if address in kernel.own:
        return Step(subject="VIP", holds=True, text=f"{address} is an address of the node itself")
    return Step(subject="VIP", holds=False, text=f"DISAGREE: the node does not hold {address}")


def _rules(found: ServiceObjects, kernel: Kernel) -> Iterator[Step]:
    """One step when all is there."""
    missing = [*_unhooked(found, kernel.rules), *_not_in_sets(found, kernel)]
    for each in missing:
        yield Step(subject="rules", holds=False, text=f"DISAGREE: {each}")
    if not missing:
        yield Step(subject="rules", holds=True, text="let it in, and masquerade what would not come back")


def _unhooked(found: ServiceObjects, rules: ServiceRules) -> Iterator[str]:
    needed = {(family(parse_address(each.address or "")), each.mark is not None) for each in found.servers}
    chains: dict[tuple[Family, TableName], str] = {}
    for of, direct in sorted(needed):
        chains |= {(of, "filter"): INPUT, (of, "nat"): POSTROUTING, **({(of, "mangle"): DIRECT} if direct else {})}
    for (of, table), chain in chains.items():
        there = rules.tables.get((of, table))
        if there is None or not any(rule.target == chain for _, rule in there.hooks):
            yield f"nothing leads to {chain} in {of} table {table}"


def _not_in_sets(found: ServiceObjects, kernel: Kernel) -> Iterator[str]:
    wanted = [("vips", address) for address in map(parse_address, found.held) if address not in kernel.own]
    entries: list[tuple[str, Address | Port]] = [*wanted]
    for each in found.servers:
        address = parse_address(each.address or "")
        port = Port(address=address, protocol=(each.protocol or "").lower(), port=each.port or 0)
        if each.mark is not None:
            entries.append(("direct", port))
        elif each.address in found.held and any(real.weight for real in each.real_servers or ()):
            entries.append(("ports", port))
    for kind, entry in entries:
        name = set_name(kind, family(entry.address if isinstance(entry, Port) else entry))
        if name not in kernel.rules.sets or entry not in kernel.rules.sets[name].entries:
            yield f"{_text(entry)} is not in ipset {name}"


def _text(entry: Address | Port) -> str:
    return f"{entry.address} {entry.port}/{entry.protocol}" if isinstance(entry, Port) else str(entry)


def _in_bird(found: ServiceObjects, seen: Seen) -> Iterator[Step]:
    if found.announced is None:
        yield Step(subject="BGP", text="this agent does no routing (--run-router)")
    elif isinstance(seen.routes, str):
        yield Step(subject="BGP", text=f"cannot be read: {seen.routes}")
    else:
        for each in found.announced:
            yield from _announced(each, seen.routes.get(each.address, ()))


def _announced(decided: Announced, routes: Sequence[Evidence]) -> Iterator[Step]:
    """Who else announces an address may be another Service, or an aggregate that others are in as well."""
    if decided.reason:
        is_asked = False if decided.rules else None
        yield Step(subject="BGP", holds=is_asked, text=f"{decided.address} is not announced: {decided.reason}")
        return
    asking = " and ".join(f"BGPAdvertisement {each}" if each else "the defaults" for each in decided.rules)
    if not routes:
        text = (
            f"{decided.address} is asked for by {asking}, and BIRD does not announce it yet: see `birdctl show status`"
        )
        yield Step(subject="BGP", holds=False, text=text)
    for evidence in routes:
        yield Step(subject="BGP", holds=True, text=f"{evidence.prefix} is announced, for {asking}")
        yield from to_external(evidence)
