"""Why a prefix is, or is not, where it should be: in BIRD, in the kernel, at each peer. Facts only, no guesses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdctl.addresses import Prefix, family
from birdctl.observe.kernel import BIRD, KernelRoute
from birdctl.observe.routes import KERNEL_PROTOCOLS
from birdctl.observe.verdicts import Candidate, Filters
from birdctl.observe.views import View
from birdctl.routing.inventory import Inventory, SessionNames, of_protocol
from birdctl.routing.state import NextHop, RouteState, SessionState


class Step(View, frozen=True, kw_only=True):
    """One fact about `subject` (objects, BIRD, kernel, or a peer). `holds`: the prefix is there; absent: background."""

    subject: str
    text: str
    holds: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read of one node about one prefix. `routes` and `covering` are BIRD's, for exactly this prefix and
    for the longest one around it; `sent` are the protocols that it was really exported to.
    """

    prefix: Prefix
    inventory: Inventory
    sessions: tuple[SessionState, ...]
    routes: tuple[RouteState, ...]
    covering: tuple[RouteState, ...]
    sent: frozenset[str]
    kernel: tuple[KernelRoute, ...]
    filters: Filters
    recovering: bool = False


def explain(evidence: Evidence) -> Iterator[Step]:
    """The steps in the order a route travels: BIRD, kernel, peers."""
    yield from _in_bird(evidence)
    yield from _in_kernel(evidence)
    yield from _grouped(_to_peers(evidence))


def _in_bird(evidence: Evidence) -> Iterator[Step]:
    for route in sorted(evidence.routes, key=lambda route: not route.best):
        names = of_protocol(evidence.inventory.sessions, route.protocol)
        holds = None if route.protocol in KERNEL_PROTOCOLS else route.best and not route.unreachable
        yield Step(subject="BIRD", holds=holds, text=_describe(evidence, route, names))
    if not evidence.routes:
        yield Step(subject="BIRD", holds=False, text="has no route for exactly this prefix")
        for route in evidence.covering:
            yield Step(subject="BIRD", text=f"uses {route.prefix} for its addresses, from {route.protocol}")
        yield from _grouped(_not_from_peers(evidence))


def _describe(evidence: Evidence, route: RouteState, names: SessionNames | None) -> str:
    source = evidence.inventory.originated.get(route.protocol, {}).get(str(evidence.prefix))
    if source:
        return f"originates it ({source}) in {route.protocol}, from {evidence.inventory.origins.get(route.protocol)}"
    if route.protocol in KERNEL_PROTOCOLS:
        return "knows it from the kernel, to resolve next hops over it"
    sender = f"{names.peer} ({names.type})" if names else route.protocol
    path = f", AS path {' '.join(map(str, route.as_path))}" if route.as_path else ""
    quality = "best" if route.best else "not the best"
    way = "its next hop is unreachable" if route.unreachable else f"next hop {_hops(route.next_hops)}"
    return f"learned it from {sender}, {quality}, {way}{path}"


def _hops(hops: Iterable[NextHop]) -> str:
    return ", ".join(" ".join(filter(None, (str(hop.address or ""), f"dev {hop.interface}"))) for hop in hops) or "none"


def _not_from_peers(evidence: Evidence) -> Iterator[tuple[str, bool | None, str]]:
    label = family(evidence.prefix).label
    for protocol, names, state in _sessions(evidence):
        if label not in names.families:
            continue
        if state is None or state.state != "Established":
            yield names.peer, False, f"cannot bring it: {_down(state)}"
            continue
        verdict = evidence.filters.verdict(
            protocol, label, "import", Candidate(prefix=evidence.prefix, source="RTS_BGP")
        )
        if verdict.accepted is False:
            yield names.peer, False, f"would not be believed: {verdict.why}"
        else:
            yield names.peer, False, "does not announce it"


def _in_kernel(evidence: Evidence) -> Iterator[Step]:
    best = next((route for route in evidence.routes if route.best), None)
    own = best is not None and best.protocol in evidence.inventory.originated
    foreign = best is not None and best.protocol in KERNEL_PROTOCOLS
    found = [route for route in evidence.kernel if route.prefix == evidence.prefix]
    for route in found:
        by = "installed" if route.protocol == BIRD else f"made by {route.protocol}"
        yield Step(subject="kernel", holds=True, text=f"{by}: via {_hops(route.next_hops)}, metric {route.metric}")
    if own and not found:
        yield Step(
            subject="kernel", text="BIRD installs nothing for what the node originates: the pod network or proxy does"
        )
    elif not found:
        yield Step(subject="kernel", holds=False, text=_why_not_installed(best))
    elif best and not own and not foreign and not any(route.protocol == BIRD for route in found):
        yield Step(subject="kernel", holds=False, text="BIRD leaves routes alone that others made")


def _why_not_installed(best: RouteState | None) -> str:
    if best is None:
        return "no route: BIRD has none"
    if best.unreachable:
        return "no route: nothing leads to the next hop (tables igp4, igp6)"
    return "no route, although BIRD has one: see BIRD's log"


def _to_peers(evidence: Evidence) -> Iterator[tuple[str, bool | None, str]]:
    best = next((route for route in evidence.routes if route.best), None)
    if best is None:
        return
    for protocol, names, state in _sessions(evidence):
        if protocol in evidence.sent:
            yield names.peer, True, "was sent it"
        else:
            yield names.peer, False, f"was not sent it: {_why_not_sent(evidence, best, protocol, names, state)}"


def _why_not_sent(
    evidence: Evidence, best: RouteState, protocol: str, names: SessionNames, state: SessionState | None
) -> str:
    label = family(evidence.prefix).label
    if state is None or state.state != "Established":
        return _down(state)
    if label not in names.families:
        return f"the session does not carry {family(evidence.prefix)}"
    if best.protocol == protocol:
        return "it came from there"
    sender = of_protocol(evidence.inventory.sessions, best.protocol)
    if sender and "external" not in (sender.type, names.type) and "client" not in (sender.type, names.type):
        return "iBGP does not pass on what iBGP brought (RFC 4271 9.2.1)"
    route = Candidate(prefix=evidence.prefix, protocol=best.protocol, source=_source(evidence, best))
    verdict = evidence.filters.verdict(protocol, label, "export", route)
    if verdict.accepted:
        return (
            "BIRD recovers from a restart"
            if evidence.recovering
            else f"accepted by {verdict.why}, but held back (limit?)"
        )
    return verdict.why


def _source(evidence: Evidence, route: RouteState) -> str:
    if route.protocol in KERNEL_PROTOCOLS:
        return "RTS_INHERIT"
    return "RTS_STATIC" if route.protocol in evidence.inventory.originated else "RTS_BGP"


def _sessions(evidence: Evidence) -> Iterator[tuple[str, SessionNames, SessionState | None]]:
    """Every configured session with its state, under the protocol that really runs."""
    states: Mapping[str, SessionState] = {state.protocol: state for state in evidence.sessions}
    for protocol, names in sorted(evidence.inventory.sessions.items()):
        yield protocol, names, states.get(protocol)


def _down(state: SessionState | None) -> str:
    if state is None:
        return "BIRD does not run its session"
    return f"its session is {state.state}{f' ({state.last_error})' if state.last_error else ''}"


def _grouped(found: Iterable[tuple[str, bool | None, str]]) -> Iterator[Step]:
    """One step for all peers of which the same is to say: meshes are large."""
    groups: dict[tuple[bool | None, str], list[str]] = {}
    for peer, holds, text in found:
        groups.setdefault((holds, text), []).append(peer)
    for (holds, text), peers in groups.items():
        yield Step(subject=",".join(peers), holds=holds, text=text)
