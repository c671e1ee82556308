"""One row per address and port of a service, as the node's kernel has it.

ENDPOINTS are real servers that take new connections. STATE: `ok`, `missing` or `different` from what the objects say
(`-o wide` says in what), `leaving` when no Service wants it any more. With `-o wide` also the traffic, every real
server (with its weight, if that is not 1), and the peers that the address is advertised to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.show import advertisements
from birdctl.cli.tables import Column, few
from birdctl.errors import Unavailable
from birdctl.observe.services import ServiceList, advertised, services
from birdctl.observe.views import RealServer, Service
from birdctl.reconcile import control
from birdctl.services.ipvs import IpvsBackend


def _count(of: Callable[[RealServer], int | None]) -> Callable[[Service], int | None]:
    """A sum over the real servers."""
    return lambda each: None if each.real_servers is None else sum(of(real) or 0 for real in each.real_servers)


def _traffic(field: str) -> Callable[[Service], object]:
    return lambda each: each.traffic and getattr(each.traffic, field)


def _port(each: Service) -> str | None:
    return f"{each.port}/{each.protocol}" if each.port else None


def _real_servers(each: Service) -> str:
    return few([_real_server(real) for real in each.real_servers or ()])


def _real_server(real: RealServer) -> str:
    host = f"[{real.address}]" if ":" in real.address else real.address
    return f"{host}:{real.port}" + ("" if real.weight == 1 else f"={real.weight}")


def _tone(each: Service) -> str:
    return "bad" if each.state in ("missing", "different") else ""


COLUMNS: tuple[Column[Service], ...] = (
    Column("NODE", lambda each: each.node),
    Column("NAMESPACE", lambda each: each.namespace),
    Column("NAME", lambda each: each.name),
    Column("KIND", lambda each: each.kind),
    Column("ADDRESS", lambda each: each.address),
    Column("PORT", _port),
    Column("SCHEDULER", lambda each: each.scheduler),
    Column("ENDPOINTS", _count(lambda real: bool(real.weight))),
    Column("ACTIVE", _count(lambda real: real.active_connections)),
    Column("INACTIVE", _count(lambda real: real.inactive_connections)),
    Column("STATE", lambda each: each.state, tone=_tone),
    Column("PORT-NAME", lambda each: each.port_name, wide=True),
    Column("FORWARDING", lambda each: each.forwarding, wide=True),
    Column("FLAGS", lambda each: ",".join(each.flags), wide=True),
    Column("PERSISTENCE", lambda each: each.persistence_seconds or None, wide=True),
    Column("REAL-SERVERS", _real_servers, wide=True),
    Column("CONNECTIONS", _traffic("connections"), wide=True),
    Column("PACKETS-IN", _traffic("packets_in"), wide=True),
    Column("PACKETS-OUT", _traffic("packets_out"), wide=True),
    Column("BYTES-IN", _traffic("bytes_in"), wide=True),
    Column("BYTES-OUT", _traffic("bytes_out"), wide=True),
    Column("ADVERTISED-TO", lambda each: few(each.advertised_to or ()), wide=True),
    Column("DIFFERENCES", lambda each: "; ".join(each.differences), wide=True),
)


def _name(each: Service) -> str:
    server = f"{each.address}:{each.port}/{each.protocol}" if each.address else f"mark:{each.mark}"
    return "/".join(filter(None, ("service", each.node, each.namespace, each.name, server)))


def _steady(each: Service) -> Service:
    reals = (replace(real, active_connections=None, inactive_connections=None) for real in each.real_servers or ())
    return replace(each, traffic=None, real_servers=tuple(reals))


VIEW: View[Service, Service] = View(kind="ServiceList", what="services", columns=COLUMNS, name=_name, steady=_steady)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)
    parser.add_argument("-n", dest="of_namespace", metavar="NAMESPACE", help="only services of this namespace")


def run(args: argparse.Namespace) -> int:
    def chosen(place: Place) -> Iterable[Service]:
        found = [each for each in read(place) if args.of_namespace in (None, each.namespace)]
        return found if args.output in ("table", "name") else _with_peers(place, found)

    return show.run(args, VIEW, show.Reader(chosen, only_ours=True, shortfall=_shortfall))


def _shortfall(each: Service) -> str:
    return "" if each.state else f"no agent answers on {each.node}: whose virtual servers these are is not known"


def read(place: Place) -> tuple[Service, ...]:
    """The services of one node, without the peers they are advertised to. Raises Unavailable, BackendError."""
    try:
        known = control.ask_for(ServiceList, place.runtime_dir, "services")
    except Unavailable as agent:
        try:
            return _of_kernel(place, None)
        except Unavailable as kernel:
            raise Unavailable(f"{agent}; {kernel}") from None
    return _of_kernel(place, known)


def _of_kernel(place: Place, known: ServiceList | None) -> tuple[Service, ...]:
    with place.inside():
        ipvs = IpvsBackend()
        try:
            servers, activity = ipvs.read(), ipvs.activity()
        finally:
            ipvs.close()
    return services(known.node if known else place.node, known.items if known else None, servers, activity)


def _with_peers(place: Place, found: Sequence[Service]) -> Iterable[Service]:
    """Nobody knows the peers where no BIRD answers."""
    try:
        return advertised(found, advertisements.read(place)) if place.has_bird else found
    except Unavailable:
        return found
