"""The kernel's virtual servers: reads all, writes ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

import msgspec

from birdctl.addresses import Family, Prefix
from birdctl.errors import Unavailable
from birdctl.netfilter.netlink import Message, Netlink
from birdctl.services import ipvs_wire
from birdctl.services.ipvs_change import IpvsChanges
from birdctl.services.model import Activity, Mark, ServerKey, VirtualServer


class IpvsBackend:
    def __init__(self, excluded: Collection[Prefix] = ()) -> None:
        self._excluded = excluded
        self._netlink = Netlink("IPVS", ipvs_wire.NETLINK_GENERIC)
        self._netlink.request([ipvs_wire.ask_family()])
        kind = ipvs_wire.family_id(self._netlink.dump(ipvs_wire.list_families()))
        if kind is None:
            raise Unavailable("the kernel has no IPVS: load the module ip_vs")
        self._kind = kind

    def close(self):
        self._netlink.close()

    def read(self) -> Mapping[ServerKey, VirtualServer]:
        out = {}
        for reply in list(self._netlink.dump(ipvs_wire.list_servers(self._kind))):
            found = ipvs_wire.server(reply)
            reals = [ipvs_wire.real_server(each, is_v4=found.server.family is Family.IPV4) for each in self._netlink.dump(ipvs_wire.list_real_servers(self._kind, found.server.key))]
            out[found.server.key] = msgspec.structs.replace(found.server, real_servers=tuple(each.server for each in reals))
        return out

    def write(self, changes: IpvsChanges) -> dict[ServerKey, str]:
        owners = []
        def every():
            for c in changes.servers:
                for m in ipvs_wire.messages(self._kind, c):
                    owners.append((c.server.key, m))
                    yield m
        errors = self._netlink.request(every())
        return {owners[p][0]: f"{ipvs_wire.subject(owners[p][1])}: {os.strerror(n)}" for p, n in errors.items()}
