"""What proxying Services on a node takes, the same values for desired and actual.

A *virtual server* is one address, port and protocol (or one firewall mark) that IPVS answers for, a *real server* an
endpoint behind it. A VIP is an address of a Service that this node holds on its own device.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

import msgspec

from birdctl.addresses import Address, Family, Prefix, family

DIRECT_MARK = 0x0D00_0000
DIRECT_MARK_MASK = 0xFF00_0000
"""Every firewall mark of direct server return is `DIRECT_MARK` under this mask: one policy rule finds them all."""

ServiceAddressKind = Literal["ClusterIP", "NodePort", "ExternalIP", "LoadBalancerIP"]


class Protocol(enum.StrEnum):
    """In the API's spelling; `value.lower()` is iptables'."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class Scheduler(enum.StrEnum):
    """ipvsadm(8)'s schedulers."""

    RR = "rr"
    WRR = "wrr"
    LC = "lc"
    WLC = "wlc"
    LBLC = "lblc"
    LBLCR = "lblcr"
    DH = "dh"
    SH = "sh"
    SED = "sed"
    NQ = "nq"
    MH = "mh"


class SchedulerFlag(enum.StrEnum):
    """ipvsadm(8)'s sched-flags: of sh and mh, `flag-1` is fallback and `flag-2` port.

    There is a third one, which no scheduler uses: it marks a virtual server as ours (`VirtualServer.ours`).
    """

    FLAG_1 = "flag-1"
    FLAG_2 = "flag-2"


class Forwarding(enum.StrEnum):
    """How a packet gets to its real server. OTHER is only in what was read: one that we never use, or several."""

    MASQUERADE = "masquerade"
    TUNNEL = "tunnel"
    OTHER = "other"


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of small values that there are many of."""


class Port(Value, frozen=True, kw_only=True, gc=False):
    """One transport address."""

    address: Address
    protocol: Protocol
    port: int

    @property
    def family(self) -> Family:
        return family(self.address)

    def __str__(self) -> str:
        """As `10.96.0.1:53/UDP`, `[fd00::1]:53/UDP`."""
        host = self.address if self.family is Family.IPV4 else f"[{self.address}]"
        return f"{host}:{self.port}/{self.protocol}"


class Mark(Value, frozen=True, kw_only=True, gc=False):
    """A firewall mark that stands for a virtual server; IPVS keeps the families' marks apart."""

    mark: int
    family: Family

    def __str__(self) -> str:
        return f"{self.family} mark {self.mark:#x}"


ServerKey = Port | Mark
"""What tells one virtual server from another."""


Endpoint = tuple[Address, int]
"""Address and port: what tells the real servers of one virtual server apart."""


class RealServer(Value, frozen=True, kw_only=True, gc=False):
    """An endpoint. Weight 0 takes no new connections."""

    address: Address
    port: int
    weight: int = 1

    @property
    def endpoint(self) -> Endpoint:
        return self.address, self.port


class Owner(Value, frozen=True, kw_only=True, gc=False):
    """Whose virtual server it is. `address` and `port` are what clients use, `service` is `namespace/name`."""

    service: str
    port_name: str
    kind: ServiceAddressKind
    address: Address
    protocol: Protocol
    port: int


class VirtualServer(msgspec.Struct, frozen=True, kw_only=True):
    """`persistence_seconds` is 0 without session affinity. `owner` is not in the kernel: None in what was read.

    `ours` is False for what others made: only in what was read.
    """

    key: ServerKey
    scheduler: Scheduler
    flags: frozenset[SchedulerFlag] = frozenset()
    persistence_seconds: int = 0
    forwarding: Forwarding = Forwarding.MASQUERADE
    real_servers: tuple[RealServer, ...] = ()
    owner: Owner | None = None
    ours: bool = True

    @property
    def family(self) -> Family:
        return self.key.family


class Connections(Value, frozen=True, kw_only=True, gc=False):
    """Of one real server. Inactive ones are being opened or closed; those of UDP are all inactive."""

    active: int = 0
    inactive: int = 0


class Traffic(Value, frozen=True, kw_only=True, gc=False):
    """Of one virtual server: totals since it was made, and averages over some seconds; the kernel counts every 2 s."""

    connections: int = 0
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connections_per_second: int = 0
    packets_in_per_second: int = 0
    packets_out_per_second: int = 0
    bytes_in_per_second: int = 0
    bytes_out_per_second: int = 0


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What a virtual server and its real servers do."""

    traffic: Traffic = Traffic()
    real_servers: Mapping[Endpoint, Connections] = {}


class Source(Value, frozen=True, kw_only=True, gc=False):
    """Clients that may use a port, of its family."""

    port: Port
    prefix: Prefix

    @property
    def family(self) -> Family:
        return self.port.family


class DirectReturn(Value, frozen=True, kw_only=True, gc=False):
    """A VIP whose packets go to the pods by tunnel and come back without this node: its mark, and this node's pods."""

    port: Port
    mark: int
    local_pods: frozenset[Address]

    @property
    def key(self) -> Mark:
        """Of the virtual server."""
        return Mark(mark=self.mark, family=self.port.family)


class HealthCheck(Value, frozen=True, kw_only=True, gc=False):
    """What `healthCheckNodePort` answers: how many ready endpoints of `service` are on this node."""

    service: str
    local_endpoints: int


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one node. Collections that did not change since the last compilation are the same objects.

    `addresses` are held on the VIP device; `vip_ports` are what they answer on. `unserved` are ports without an
    endpoint, the node's own included: connections to them are reset. `inside_only` are those ports of external
    addresses with traffic policy Local that have no endpoint here: they answer the cluster's own pods and nodes alone.
    `limited` are ports that nobody may use but their `sources_allowed` and this node. `hairpin` are endpoints of this
    node that may reach themselves through their service. `pods` are the whole cluster's pod CIDRs, `local_pods` this
    node's. `sources`: the node's own address of a family, from which it talks to VIPs.
    """

    virtual_servers: Mapping[ServerKey, VirtualServer]
    addresses: frozenset[Address] = frozenset()
    vip_ports: frozenset[Port] = frozenset()
    unserved: frozenset[Port] = frozenset()
    inside_only: frozenset[Port] = frozenset()
    limited: frozenset[Port] = frozenset()
    sources_allowed: frozenset[Source] = frozenset()
    hairpin: frozenset[Port] = frozenset()
    direct_returns: tuple[DirectReturn, ...] = ()
    health_checks: Mapping[int, HealthCheck] = {}
    pods: frozenset[Prefix] = frozenset()
    local_pods: frozenset[Prefix] = frozenset()
    sources: Mapping[Family, Address] = {}
    node_addresses: frozenset[Address] = frozenset()
