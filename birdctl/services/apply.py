"""The only way to change what of services is on the node: in an order in which nothing is held or told that does not
work.

    rules, members of sets that come → virtual servers → VIPs that come
    VIPs that go → virtual servers that go → members of sets that go

Whoever is killed in between leaves a node that works with the old or the new state of each service; the next start
reads what is there and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from birdctl.addresses import Address, Family
from birdctl.netfilter import sysctl
from birdctl.netfilter.rtnetlink import ETHERNET_MTU
from birdctl.services import sysctls
from birdctl.services.direct import DirectReturns
from birdctl.services.draining import Draining
from birdctl.services.hairpin import HairpinPorts
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import IpvsChanges, Step, changes
from birdctl.services.links import VipDevice
from birdctl.services.model import Endpoint, Port, Protocol, ServerKey, ServiceState, VirtualServer
from birdctl.services.netfilter import ServiceNetfilter
from birdctl.services.options import ServiceOptions
from birdctl.services.rules import RuleCompiler

_NOTHING = ServiceState(virtual_servers={})


class Refusal(NamedTuple):
    """What the node does not take; `service` is empty where it is nobody's alone."""

    service: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What was done in `seconds`. `deviations` are settings of the kernel that are not as services want them.

    `again_at`: when to look at connections that drain (monotonic), None if none does.
    """

    seconds: float
    changed: bool
    refusals: tuple[Refusal, ...]
    deviations: tuple[str, ...]
    again_at: float | None


class ServiceBackend:
    """The services of this network namespace, for one thread; `close` it in the end.

    Every method raises Unavailable when the node lacks a program or a part of the kernel, and BackendError when that
    refuses something without which no service works; what was there before still is. `sysctls_record`: where
    changed settings of the kernel are remembered.
    """

    def __init__(self, options: ServiceOptions, sysctls_record: Path | None = None) -> None:
        self._ipvs = IpvsBackend(options.excluded_cidrs)
        self._device = VipDevice()
        self._netfilter = ServiceNetfilter()
        self._direct = DirectReturns()
        self._hairpins = HairpinPorts()
        self._sysctls_record = sysctls_record
        self._known: ServiceState | None = None
        self._standing = _NOTHING
        self._deviations: tuple[str, ...] = ()
        self._outside: tuple[Refusal, ...] = ()
        self._refused: dict[ServerKey, Refusal] = {}
        self.adopt(options)

    def adopt(self, options: ServiceOptions) -> None:
        """Other settings, which the next `apply` goes by; it should `verify`."""
        self._options = options
        self._rules = RuleCompiler(options)
        self._draining = Draining(options)

    def close(self) -> None:
        for each in (self._ipvs, self._device, self._netfilter, self._direct, self._hairpins):
            each.close()

    def read(self) -> ServiceState:
        """The virtual servers, ours and others', and our VIPs."""
        return ServiceState(virtual_servers=self._ipvs.read(), addresses=self._device.read())

    @property
    def standing(self) -> ServiceState:
        """What the last `apply` that went through made of the node; empty before the first.

        A failure takes nothing down that it did not reach, so nobody is told that all of it is gone.
        """
        return self._standing

    def apply(
        self,
        desired: ServiceState,
        *,
        grace: Mapping[Address, float],
        touched: Collection[ServerKey] | None = None,
        verify: bool = False,
    ) -> ApplyResult:
        """Makes the node's services the desired ones. `touched`: only these virtual servers differ from the last call;
        None: all may. `grace` is for how many seconds endpoints may finish their connections.

        `verify` looks first what is there, and repairs that; so does the first call, and one after a failure.
        """
        started = time.monotonic()
        known, self._known = self._known, None
        if known is None or verify:
            known, touched, verify = self.read(), None, True
        if verify or sysctls.goes_on(desired) is not sysctls.goes_on(known):
            self._deviations = tuple(self._prepare(desired))
        due = self._draining.due(started)
        altered = None if touched is None else {*touched, *due}
        connections = self._ipvs.connections(due)
        servers, again_at = self._draining.step(
            desired.virtual_servers, known.virtual_servers, connections, grace, started, touched=touched
        )
        changing = changes(known.virtual_servers, servers, altered)
        coming, going = _divided(changing)

        if verify or not _alike(_around(known), _around(desired)):
            self._outside = tuple(self._surround(desired, verify=verify))
        refused = self._ipvs.write(coming)
        unheld = self._move(known, desired)
        refused |= self._ipvs.write(going)
        self._netfilter.settle()
        self._netfilter.forget(_gone(changing))
        self._known = self._standing = _there(known, replace(desired, virtual_servers=servers), refused, unheld)
        self._remember(altered, refused, {**known.virtual_servers, **desired.virtual_servers} if refused else {})
        return ApplyResult(
            seconds=time.monotonic() - started,
            changed=bool(changing) or known.addresses != desired.addresses,
            deviations=self._deviations,
            refusals=(*self._outside, *self._refused.values(), *_not_held(unheld)),
            again_at=again_at,
        )

    def remove(self) -> None:
        """Everything of ours, as far as it is there."""
        servers = (each for each in self._ipvs.read().values() if each.ours)
        self._device.remove()
        self._ipvs.write(changes({each.key: each for each in servers}, {}))
        self._direct.apply(())
        self._netfilter.remove()

    def _prepare(self, desired: ServiceState) -> Iterator[str]:
        """What the kernel has to be like for any service, and is not."""
        options = self._options
        timeouts = (options.service_tcp_timeout, options.service_tcpfin_timeout, options.service_udp_timeout)
        if any(timeouts):
            self._ipvs.set_timeouts(*map(round, timeouts))
        ipv4, ipv6 = (of in desired.sources for of in Family)
        wanted = sysctls.needed_here(ipv4=ipv4, ipv6=ipv6, sloppy=sysctls.goes_on(desired))
        for each in sysctl.apply(wanted, self._sysctls_record):
            yield f"{each.found}; it cannot be set from here ({each.fix})"

    def _remember(
        self,
        altered: Collection[ServerKey] | None,
        refused: Mapping[ServerKey, str],
        servers: Mapping[ServerKey, VirtualServer],
    ) -> None:
        """What is refused now, and what was before and nobody has tried again."""
        for key in tuple(self._refused) if altered is None else altered:
            self._refused.pop(key, None)
        for key, reason in refused.items():
            owner = servers[key].owner
            self._refused[key] = Refusal(owner.service if owner else "", f"virtual server {key}: {reason}")

    def _surround(self, desired: ServiceState, *, verify: bool) -> Iterator[Refusal]:
        """The rules, what pods need, and members of sets that come."""
        mtu = self._device.mtu(desired.sources.values()) if desired.direct_returns else ETHERNET_MTU
        rules = self._rules.compile(desired, mtu=mtu)
        for (family, table), reason in self._netfilter.apply(rules, verify=verify).items():
            yield Refusal("", f"table {table} of {family} stays as it was: {reason}")
        for pod, reason in self._direct.apply(desired.direct_returns, verify=verify).items():
            yield Refusal("", f"pod {pod} gets no tunnel for direct server return: {reason}")
        pods = {each.address for each in desired.hairpin}
        for pod, reason in self._hairpins.apply(pods, verify=verify).items():
            yield Refusal("", f"pod {pod} does not reach itself through its service: {reason}")

    def _move(self, known: ServiceState, desired: ServiceState) -> dict[Address, str]:
        """VIPs that come and go, and from where the node talks to them."""
        held, wanted = known.addresses, desired.addresses
        if held is wanted and known.sources == desired.sources:
            return {}
        return self._device.write(wanted - held, held - wanted, desired.sources)


def _around(state: ServiceState) -> tuple[object, ...]:
    """What rules, sets and pods depend on: the same objects as long as nothing of it changes."""
    return (
        *(state.addresses, state.vip_ports, state.unserved, state.inside_only, state.limited, state.sources_allowed),
        *(state.hairpin, state.direct_returns),
        *(state.pods, state.local_pods, state.sources, state.node_addresses),
    )


def _alike(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def _divided(changing: IpvsChanges) -> tuple[IpvsChanges, IpvsChanges]:
    """What comes or changes, and what goes."""
    coming = tuple(each for each in changing.servers if each.step is not Step.DELETE)
    going = tuple(each for each in changing.servers if each.step is Step.DELETE)
    return IpvsChanges(servers=coming), IpvsChanges(servers=going)


def _gone(changing: IpvsChanges) -> dict[Port, Collection[Endpoint] | None]:
    """Endpoints of UDP ports, whose clients would be sent there for as long as they go on; None: wherever they were,
    also before there was a virtual server.
    """
    gone: dict[Port, Collection[Endpoint] | None] = {}
    for each in changing.servers:
        key = each.server.key
        if isinstance(key, Port) and key.protocol is Protocol.UDP:
            if each.step in (Step.CREATE, Step.DELETE):
                gone[key] = None
            elif each.going:
                gone[key] = {real.endpoint for real in each.going}
    return gone


def _not_held(unheld: Mapping[Address, str]) -> Iterator[Refusal]:
    return (Refusal("", f"address {address}: {reason}") for address, reason in unheld.items())


def _there(
    known: ServiceState,
    written: ServiceState,
    refused: Mapping[ServerKey, str],
    unheld: Mapping[Address, str],
) -> ServiceState:
    """What is there now: of what was refused, what was there before."""
    if refused:
        servers = {key: each for key, each in written.virtual_servers.items() if key not in refused}
        servers |= {key: each for key, each in known.virtual_servers.items() if key in refused}
        written = replace(written, virtual_servers=servers)
    if unheld:
        held = (written.addresses - unheld.keys()) | (known.addresses & unheld.keys())
        written = replace(written, addresses=held)
    return written
