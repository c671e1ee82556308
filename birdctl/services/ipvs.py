"""The kernel's virtual servers: reads all of them, creates, changes and deletes ours.

Thousands of changes are a few sends. What the kernel refuses is told by virtual server, so that one bad one is one
Service's problem.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from birdctl.addresses import Prefix
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter.netlink import Message, Netlink
from birdctl.services import ipvs_proc, ipvs_wire
from birdctl.services.ipvs_change import IpvsChanges
from birdctl.services.ipvs_proc import FoundReal
from birdctl.services.ipvs_wire import Found
from birdctl.services.model import Activity, Connections, Endpoint, Forwarding, Port, ServerKey, Traffic, VirtualServer

_LISTING = Path("/proc/thread-self/net/ip_vs")
"""Once open, it is of one network namespace, as a socket is."""
_GONE = frozenset({errno.ESRCH, errno.ENOENT})
_REASONS = {
    errno.EEXIST: "it is there already",
    errno.ESRCH: "its virtual server is not there",
    errno.ENOENT: "it is not there, or the kernel lacks the scheduler (load the module ip_vs_<scheduler>)",
    errno.EINVAL: "no address or setting that IPVS takes",
    errno.EAFNOSUPPORT: "the kernel's IPVS has no IPv6",
}
_EXCLUDED = "its address is in --excluded-cidrs"


class IpvsBackend:
    """The virtual servers of this network namespace, for one thread; `close` it in the end.

    Those whose address is in `excluded` are left alone. Loads IPVS where that is a module. Raises Unavailable when the
    kernel has none.
    """

    def __init__(self, excluded: Collection[Prefix] = ()) -> None:
        self._excluded = excluded
        self._netlink = Netlink("IPVS", ipvs_wire.NETLINK_GENERIC)
        self._netlink.request([ipvs_wire.ask_family()])
        kind = ipvs_wire.family_id(self._dump(ipvs_wire.list_families()))
        if kind is None:
            self._netlink.close()
            raise Unavailable("the kernel has no IPVS: load the module ip_vs")
        self._kind = kind
        self._listing = _LISTING.open("rb", buffering=0)

    def close(self) -> None:
        self._listing.close()
        self._netlink.close()

    def read(self) -> dict[ServerKey, VirtualServer]:
        """Ours and others'; of others' only the key and the real servers are exact."""
        return {found.server.key: _complete(found.server, behind) for found, behind in self._with_real_servers()}

    def activity(self) -> dict[ServerKey, Activity]:
        """Of all that `read` has."""
        return {
            found.server.key: Activity(
                traffic=found.traffic, real_servers={each.server.endpoint: each.connections for each in behind}
            )
            for found, behind in self._with_real_servers()
        }

    def traffic(self) -> dict[ServerKey, Traffic]:
        """Of all that `read` has, without a look at real servers."""
        return {server.key: traffic for server, traffic in self._servers()}

    def connections(self, keys: Collection[ServerKey]) -> dict[ServerKey, dict[Endpoint, Connections]]:
        """Of these alone, which costs 0.1 ms each."""
        return {key: {each.server.endpoint: each.connections for each in self._real_servers(key)} for key in keys}

    def write(self, changes: IpvsChanges) -> dict[ServerKey, str]:
        """Everything that the kernel takes; the reasons of what it refused. What is gone already is not refused."""
        sent: list[tuple[ServerKey, Message]] = []
        refused = {}

        def outgoing() -> Iterator[Message]:
            for change in changes.servers:
                key = change.server.key
                if self._is_excluded(key):
                    refused[key] = _EXCLUDED
                    continue
                for message in ipvs_wire.messages(self._kind, change):
                    sent.append((key, message))
                    yield message

        for position, number in self._netlink.request(outgoing()).items():
            key, message = sent[position]
            if not (ipvs_wire.is_deletion(message) and number in _GONE):
                refused.setdefault(key, f"{ipvs_wire.subject(message)}: {_reason(number)}")
        return refused

    def set_timeouts(self, tcp: int, fin: int, udp: int) -> None:
        """When idle connections are forgotten, in seconds; 0 leaves one as it is. Raises BackendError."""
        for number in self._netlink.request([ipvs_wire.timeouts(self._kind, tcp, fin, udp)]).values():
            raise BackendError(f"IPVS refuses the timeouts {tcp}, {fin} and {udp} s: {_reason(number)}")

    def _servers(self) -> Iterator[Found]:
        for reply in self._dump(ipvs_wire.list_servers(self._kind)):
            found = ipvs_wire.found_server(reply)
            if found and not self._is_excluded(found.server.key):
                yield found

    def _with_real_servers(self) -> Iterator[tuple[Found, Collection[FoundReal]]]:
        """The listing has not all of them where other namespaces have virtual servers, too: then the kernel, which
        hands it out in pieces, begins a piece too far down.
        """
        self._listing.seek(0)
        listed = ipvs_proc.real_servers(self._listing.readall().decode("ascii"))
        for found in list(self._servers()):
            key = found.server.key
            yield found, listed[key] if key in listed else self._real_servers(key)

    def _real_servers(self, key: ServerKey) -> list[FoundReal]:
        replies = self._dump(ipvs_wire.list_real_servers(self._kind, key))
        return sorted(
            (ipvs_wire.found_real(reply, key.family) for reply in replies),
            key=lambda each: (int(each.server.address), each.server.port),
        )

    def _dump(self, message: Message) -> Iterator[bytes]:
        try:
            yield from self._netlink.dump(message)
        except OSError as error:
            raise Unavailable(f"virtual servers cannot be read: {_reason(error.errno or 0)}") from None

    def _is_excluded(self, key: ServerKey) -> bool:
        return isinstance(key, Port) and any(key.address in prefix for prefix in self._excluded)


def _complete(server: VirtualServer, behind: Collection[FoundReal]) -> VirtualServer:
    ways = {each.forwarding for each in behind} or {Forwarding.MASQUERADE}
    return msgspec.structs.replace(
        server,
        forwarding=ways.pop() if len(ways) == 1 else Forwarding.OTHER,
        real_servers=tuple(each.server for each in behind),
    )


def _reason(number: int) -> str:
    return _REASONS.get(number) or os.strerror(number)
