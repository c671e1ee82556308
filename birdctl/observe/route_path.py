"""Why a prefix is, or is not, where it should be: in BIRD, in the kernel, at each peer. Facts only, no guesses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from birdctl.addresses import Prefix, family
from birdctl.observe.kernel import BIRD, KernelRoute
from birdctl.observe.routes import KERNEL_PROTOCOLS
from birdctl.observe.sessions import Session, sessions
from birdctl.observe.verdicts import Candidate, Filters, Verdict
from birdctl.observe.views import Step
from birdctl.routing.inventory import Inventory, of_protocol
from birdctl.routing.state import NextHop, RouteState, SessionState


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that was read of one node about one prefix.

    `routes` and `covering` are BIRD's, for exactly this prefix and for the longest one around it; `rejected` and `sent`
    are the running protocols that brought it in vain, and those that it was really exported to.
    """

    prefix: Prefix
    inventory: Inventory
    states: tuple[SessionState, ...]
    routes: tuple[RouteState, ...]
    covering: tuple[RouteState, ...]
    rejected: frozenset[str]
    sent: frozenset[str]
    kernel: tuple[KernelRoute, ...]
    filters: Filters
    recovering: bool = False

    @cached_property
    def best(self) -> RouteState | None:
        return next((route for route in self.routes if route.best), None)

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(sessions(self.inventory, self.states))

    @property
    def label(self) -> str:
        return family(self.prefix).label

    def source(self, route: RouteState) -> str:
        """What BIRD calls the route's source."""
        if route.protocol in KERNEL_PROTOCOLS:
            return "RTS_INHERIT"
        return "RTS_STATIC" if route.protocol in self.inventory.originated else "RTS_BGP"

    def rejects(self, session: Session) -> bool:
        return session.state is not None and session.state.protocol in self.rejected


def explain(evidence: Evidence) -> Iterator[Step]:
    """The steps in the order a route travels: BIRD, kernel, peers."""
    if evidence.routes:
        yield from (_in_bird(evidence, route) for route in sorted(evidence.routes, key=lambda route: not route.best))
        rejected = (session for session in evidence.sessions if evidence.rejects(session))
        yield from _grouped((session.names.peer, False, _why_rejected(evidence, session)) for session in rejected)
    else:
        yield from _not_in_bird(evidence)
    yield from _in_kernel(evidence)
    if evidence.best:
        yield from _grouped(_at_peer(evidence, session, evidence.best) for session in evidence.sessions)


def to_external(evidence: Evidence) -> Iterator[Step]:
    """Which external peers have it, and what keeps it from the others."""
    sessions = [each for each in evidence.sessions if each.names.type == "external"]
    if not sessions:
        yield Step(subject="peers", holds=False, text="no external peer is configured on this node")
    if evidence.best:
        yield from _grouped(_at_peer(evidence, session, evidence.best) for session in sessions)


def _in_bird(evidence: Evidence, route: RouteState) -> Step:
    if route.protocol in KERNEL_PROTOCOLS:
        return Step(subject="BIRD", text="knows it from the kernel, to resolve next hops over it")
    source = evidence.inventory.originated.get(route.protocol, {}).get(str(evidence.prefix))
    if source:
        origin = evidence.inventory.origins.get(route.protocol, "")
        return Step(subject="BIRD", holds=True, text=f"originates it ({source}) in {route.protocol}, from {origin}")
    names = of_protocol(evidence.inventory.sessions, route.protocol)
    sender = f"{names.peer} ({names.type})" if names else route.protocol
    path = f", AS path {' '.join(map(str, route.as_path))}" if route.as_path else ""
    quality = "best" if route.best else "not the best"
    way = "its next hop is unreachable" if route.unreachable else f"next hop {_hops(route.next_hops)}"
    holds = not route.unreachable if route.best else None
    return Step(subject="BIRD", holds=holds, text=f"learned it from {sender}, {quality}, {way}{path}")


def _hops(hops: Iterable[NextHop]) -> str:
    return ", ".join(" ".join(filter(None, (str(hop.address or ""), f"dev {hop.interface}"))) for hop in hops) or "none"


def _not_in_bird(evidence: Evidence) -> Iterator[Step]:
    yield Step(subject="BIRD", holds=False, text="has no route for exactly this prefix")
    for route in evidence.covering:
        yield Step(subject="BIRD", text=f"uses {route.prefix} for its addresses, from {route.protocol}")
    carrying = (session for session in evidence.sessions if evidence.label in session.names.families)
    yield from _grouped((session.names.peer, False, _why_not_received(evidence, session)) for session in carrying)


def _why_not_received(evidence: Evidence, session: Session) -> str:
    if not session.is_up:
        return f"cannot bring it: {session.down}"
    if evidence.rejects(session):
        return _why_rejected(evidence, session)
    verdict = _import_verdict(evidence, session)
    return f"would not be believed: {verdict.why}" if verdict.accepted is False else "does not announce it"


def _why_rejected(evidence: Evidence, session: Session) -> str:
    verdict = _import_verdict(evidence, session)
    by = f"{verdict.why} accepts it, but the import limit is reached" if verdict.accepted else verdict.why
    return f"announces it, which is rejected: {by}"


def _import_verdict(evidence: Evidence, session: Session) -> Verdict:
    route = Candidate(prefix=evidence.prefix, source="RTS_BGP")
    return evidence.filters.verdict(session.protocol, evidence.label, "import", route)


def _in_kernel(evidence: Evidence) -> Iterator[Step]:
    found = [route for route in evidence.kernel if route.prefix == evidence.prefix]
    for route in found:
        by = "installed" if route.protocol == BIRD else f"made by {route.protocol}"
        yield Step(subject="kernel", holds=True, text=f"{by}: via {_hops(route.next_hops)}, metric {route.metric}")
    source = evidence.source(evidence.best) if evidence.best else ""
    if source == "RTS_STATIC" and not found:
        text = "BIRD installs nothing for what the node originates: the pod network or proxy does"
        yield Step(subject="kernel", text=text)
    elif not found:
        yield Step(subject="kernel", holds=False, text=_why_not_installed(evidence.best))
    elif source == "RTS_BGP" and not any(route.protocol == BIRD for route in found):
        yield Step(subject="kernel", holds=False, text="BIRD leaves routes alone that others made")


def _why_not_installed(best: RouteState | None) -> str:
    if best is None:
        return "no route: BIRD has none"
    if best.unreachable:
        return "no route: nothing leads to the next hop (tables igp4, igp6)"
    return "no route, although BIRD has one: see BIRD's log"


def _at_peer(evidence: Evidence, session: Session, best: RouteState) -> tuple[str, bool, str]:
    if session.state and session.state.protocol in evidence.sent:
        return session.names.peer, True, "was sent it"
    return session.names.peer, False, f"was not sent it: {_why_not_sent(evidence, session, best)}"


def _why_not_sent(evidence: Evidence, session: Session, best: RouteState) -> str:
    if session.state is None or not session.is_up:
        return session.down
    if evidence.label not in session.names.families:
        return f"the session does not carry {family(evidence.prefix)}"
    if best.protocol == session.state.protocol:
        return "it came from there"
    sender = of_protocol(evidence.inventory.sessions, best.protocol)
    kinds = {sender.type, session.names.type} if sender else {"external"}
    if not kinds & {"external", "client"}:
        return "iBGP does not pass on what iBGP brought (RFC 4271 9.2.1)"
    route = Candidate(prefix=evidence.prefix, protocol=best.protocol, source=evidence.source(best))
    return _held_back(evidence, evidence.filters.verdict(session.protocol, evidence.label, "export", route))


def _held_back(evidence: Evidence, verdict: Verdict) -> str:
    if not verdict.accepted:
        return verdict.why
    if evidence.recovering:
        return "BIRD recovers from a restart and waits for its peers"
    return f"{verdict.why} accepts it, so a limit holds it back, or the exchange is not over"


def _grouped(found: Iterable[tuple[str, bool, str]]) -> Iterator[Step]:
    """One step for all peers of which the same is to say: meshes are large."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for peer, holds, text in found:
        groups.setdefault((holds, text), []).append(peer)
    for (holds, text), peers in groups.items():
        yield Step(subject=",".join(peers), holds=holds, text=text)
