"""Virtual servers as `ipvsadm-save -n` prints them, for `ipvsadm -R`. Pure.

Scheduler flags go by number: ipvsadm(8) reads them so of every scheduler, while it prints names for sh and mh, and
there keeps silent about the third, which marks ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdctl.addresses import Family, sort_key
from birdctl.services.model import Endpoint, Forwarding, Mark, Protocol, RealServer, ServerKey, VirtualServer

_OURS = "flag-3"
_PROTOCOLS = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}
_FORWARDINGS = {Forwarding.MASQUERADE: "-m", Forwarding.TUNNEL: "-i"}


def servers_text(servers: Mapping[ServerKey, VirtualServer]) -> str:
    """All virtual servers by address, marks last, each followed by its real servers."""
    ordered = sorted(servers.values(), key=lambda each: _order(each.key))
    return "".join(f"{line}\n" for each in ordered for line in _lines(each))


def _order(key: ServerKey) -> tuple[object, ...]:
    if isinstance(key, Mark):
        return 1, key.mark, key.family
    return 0, sort_key(key.address), key.protocol, key.port


def _lines(server: VirtualServer) -> Iterator[str]:
    name = _name(server.key)
    affinity = f" -p {server.persistence_seconds}" if server.persistence_seconds else ""
    flags = ",".join((*sorted(server.flags), _OURS))
    yield f"-A {name} -s {server.scheduler}{affinity} -b {flags}"
    for each in server.real_servers:
        yield f"-a {name} -r {_real(each)} {_FORWARDINGS[server.forwarding]} -w {each.weight}"


def _name(key: ServerKey) -> str:
    if isinstance(key, Mark):
        return f"-f {key.mark}{' -6' if key.family is Family.IPV6 else ''}"
    return f"{_PROTOCOLS[key.protocol]} {_endpoint((key.address, key.port))}"


def _real(server: RealServer) -> str:
    return _endpoint(server.endpoint)


def _endpoint(endpoint: Endpoint) -> str:
    address, port = endpoint
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004
