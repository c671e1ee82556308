"""What is served, as parts of the state that are kept from one compilation to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.services.compile.claims import Change
from birdctl.services.compile.marks import marks
from birdctl.services.compile.members import Members
from birdctl.services.compile.part import Served
from birdctl.services.model import DirectReturn, Port, ServerKey, Source, VirtualServer


class Placed:
    """`virtual_servers` is replaced, never changed, and so are the other values."""

    def __init__(self) -> None:
        self.virtual_servers: Mapping[ServerKey, VirtualServer] = {}
        self.addresses: Members[Address] = Members()
        self.vip_ports: Members[Port] = Members()
        self.unserved: Members[Port] = Members()
        self.inside_only: Members[Port] = Members()
        self.limited: Members[Port] = Members()
        self.sources: Members[Source] = Members()
        self.direct_returns: tuple[DirectReturn, ...] = ()
        self._direct: dict[Port, Served] = {}

    def update(self, changes: Iterable[Change]) -> frozenset[ServerKey]:
        """The keys of virtual servers that came, went or changed."""
        changed: dict[ServerKey, VirtualServer | None] = {}
        direct = False
        for port, before, after in changes:
            direct |= self._update_direct(port, after)
            self._count(port, before, after)
            changed[port] = after.server if after and after.direct is None else None
        if direct:
            changed |= self._marked()
        return self._write(changed)

    def _count(self, port: Port, before: Served | None, after: Served | None) -> None:
        for served, by in ((after, 1), (before, -1)):  # in this order: what stays never goes
            if served and served.held:
                self.addresses.add(port.address, by)
                self.vip_ports.add(port, by)
            if served and not served.answers:
                self.unserved.add(port, by)
            if served and served.inside_only:
                self.inside_only.add(port, by)
            if served and served.sources is not None:
                self.limited.add(port, by)
                for prefix in served.sources:
                    self.sources.add(Source(port=port, prefix=prefix), by)

    def _update_direct(self, port: Port, after: Served | None) -> bool:
        """Whether the ports of direct server return are others now."""
        before = self._direct.pop(port, None)
        if after and after.direct is not None:
            self._direct[port] = after
        return before is not self._direct.get(port)

    def _marked(self) -> dict[ServerKey, VirtualServer | None]:
        """The virtual servers that marks stand for, None for a mark that stands for nothing any more."""
        found: dict[ServerKey, VirtualServer | None] = dict.fromkeys(each.key for each in self.direct_returns)
        returns = []
        for port, mark in marks(self._direct).items():
            served = self._direct[port]
            found[mark] = replace(served.server, key=mark)
            returns.append(DirectReturn(port=port, mark=mark.mark, local_pods=served.direct or frozenset()))
        self.direct_returns = tuple(returns)
        return found

    def _write(self, changed: Mapping[ServerKey, VirtualServer | None]) -> frozenset[ServerKey]:
        """What turns out equal stays the object it was."""
        known = self.virtual_servers
        real = {key: server for key, server in changed.items() if server != known.get(key)}
        if real:
            written = dict(known)
            for key, server in real.items():
                if server:
                    written[key] = server
                else:
                    del written[key]
            self.virtual_servers = written
        return frozenset(real)
