"""The only way to change what of services is on the node: in an order in which nothing is announced or held that does
not work.

    rules and sets that come → virtual servers → VIPs that come
    VIPs that go → virtual servers that go → rules and sets that go

Whoever is killed in between leaves a node that works with the old or the new state of each service; the next start
reads what is there and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.services.draining import Draining
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import IpvsChanges, Step, changes
from birdctl.services.links import VipDevice
from birdctl.services.model import ServerKey, ServiceState
from birdctl.services.options import ServiceOptions

_NOTHING = ServiceState(virtual_servers={})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What was done in `seconds`. `refused` and `unheld` say why the kernel did not take a virtual server or a VIP.

    `again_at`: when to look at connections that drain (monotonic), None while none does.
    """

    seconds: float
    changed: bool
    refused: Mapping[ServerKey, str]
    unheld: Mapping[Address, str]
    again_at: float | None


class ServiceBackend:
    """The services of this network namespace; `close` it in the end.

    Every method raises Unavailable when the node lacks a program or a part of the kernel, and BackendError when that
    refuses something without which no service works; what was there before still is.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self._ipvs = IpvsBackend(options.excluded_cidrs)
        self._device = VipDevice()
        self._draining = Draining(options)
        self._known: ServiceState | None = None

    def adopt(self, options: ServiceOptions) -> None:
        """Other settings, which the next `apply` goes by."""
        self._draining = Draining(options)

    def close(self) -> None:
        self._ipvs.close()
        self._device.close()

    def local_addresses(self) -> frozenset[Address]:
        """The node's own addresses, on which node ports may answer."""
        return self._device.local_addresses()

    def read(self) -> ServiceState:
        """What of ours is in the kernel, and what others have there that may be in our way."""
        return ServiceState(virtual_servers=self._ipvs.read(), addresses=self._device.read())

    @property
    def standing(self) -> ServiceState:
        """What the last `apply` made of the node; empty before the first and after one that failed."""
        return self._known or _NOTHING

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
        known = None if verify else self._known
        self._known = None
        if known is None:
            known, touched = self.read(), None
        keys = None if touched is None else {*touched, *self._draining.keys}
        servers, again_at = self._draining.step(
            desired.virtual_servers,
            known.virtual_servers,
            self._ipvs.connections(self._draining.keys),
            grace,
            started,
            touched=touched,
        )
        changing = changes(known.virtual_servers, servers, keys)
        coming = IpvsChanges(servers=tuple(each for each in changing.servers if each.step is not Step.DELETE))
        going = IpvsChanges(servers=tuple(each for each in changing.servers if each.step is Step.DELETE))
        refused = self._ipvs.write(coming)
        unheld = self._move(known.addresses, desired)
        refused |= self._ipvs.write(going)
        self._known = _there(known, replace(desired, virtual_servers=servers), refused, unheld)
        return ApplyResult(
            seconds=time.monotonic() - started,
            changed=bool(changing) or known.addresses != desired.addresses,
            refused=refused,
            unheld=unheld,
            again_at=again_at,
        )

    def _move(self, held: frozenset[Address], desired: ServiceState) -> dict[Address, str]:
        """VIPs that come and go."""
        coming, going = desired.addresses - held, held - desired.addresses
        return self._device.write(coming, going, desired.sources) if coming or going else {}


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
