"""The whole cluster's load balancer addresses at once. Pure: the same objects in any order give the same answer.

An address once given stays, whatever happens to pools and selectors, until its Service goes, asks for another one, or
turns out to be the second holder. Then come external IPs, requested addresses, and everybody else by name: who writes
an address that a Service has into another one's `externalIPs` takes it from nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Family, family, parse_address
from birdctl.allocation.ledger import Ledger, Reservation
from birdctl.allocation.options import AllocationOptions
from birdctl.allocation.pools import Pool, pools
from birdctl.allocation.wish import POOL, Wish, ingress_addresses, is_ours, wish
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import node_addresses
from birdctl.cluster.objects import Namespace, Node, Service
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError

_FIELD = "status.loadBalancer"
_STAYS = "it stays until the Service asks for another one, and with strict validation no node serves it meanwhile"


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a Service's status should say. `service` is the object that it was decided on."""

    service: Service
    addresses: tuple[Address, ...]

    @property
    def is_written(self) -> bool:
        return ingress_addresses(self.service) == self.addresses


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one pool and family, in addresses."""

    total: int
    assigned: int


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Of every Service that is ours, by key; usage by pool and family, for families that the pool has."""

    assignments: Mapping[str, Assignment]
    usage: Mapping[str, Mapping[Family, Usage]]
    problems: tuple[InputError, ...]


def allocate(
    cluster: Cluster, options: AllocationOptions, given: Mapping[str, tuple[Address, ...]] | None = None
) -> Allocation:
    """`given` are addresses written since the cluster was seen, by the Services' keys: they count as their status."""
    return _Allocator(cluster, options, given or {}).run()


class _Allocator:
    def __init__(self, cluster: Cluster, options: AllocationOptions, given: Mapping[str, tuple[Address, ...]]) -> None:
        self._cluster = cluster
        self._pools, problems = pools(cluster, options)
        self._problems = list(problems)
        self._ledger = Ledger()
        self._held: dict[str, list[Address]] = {}
        self._wishes: list[Wish] = []
        for node in cluster.objects(Node).values():
            for address in node_addresses(node, Faults(node.ref)):
                self._ledger.reserve(address, Reservation(node.ref, "its own address"))
        for key, service in sorted(cluster.objects(Service).items()):
            self._enter(service, is_ours(service, options), given.get(key))

    def _enter(self, service: Service, ours: bool, given: tuple[Address, ...] | None) -> None:
        if not ours:
            for address in ingress_addresses(service):
                self._ledger.reserve(address, Reservation(service.ref, "another controller's"))
            return
        asked, problems = wish(service)
        self._wishes.append(asked if given is None else msgspec.structs.replace(asked, current=given))
        self._problems += problems

    def run(self) -> Allocation:
        for each in self._wishes:
            self._held[each.service.key] = list(self._kept(each))
        self._reserve_external()
        for each in self._wishes:
            self._satisfy(each, self._requested)
        for each in self._wishes:
            self._satisfy(each, self._next_free)
            self._insist(each)
        return Allocation(
            assignments={each.service.key: self._assignment(each) for each in self._wishes},
            usage={pool.name: dict(self._usage(pool)) for pool in self._pools},
            problems=tuple(self._problems),
        )

    def _assignment(self, asked: Wish) -> Assignment:
        held = self._held[asked.service.key]
        in_order = sorted(held, key=lambda address: asked.families.index(family(address)))
        return Assignment(service=asked.service, addresses=tuple(in_order))

    def _usage(self, pool: Pool) -> Iterator[tuple[Family, Usage]]:
        for each in Family:
            if total := pool.size(each):
                yield each, Usage(total=total, assigned=self._ledger.used(pool, each))

    # What was given before.

    def _kept(self, asked: Wish) -> Iterator[Address]:
        for each in asked.families:
            current = _first(asked.current, each)
            if current is None or not self._may_stay(current, asked):
                continue
            if not any(current in pool for pool in self._pools):
                self._tell(asked, f"{current} lies in no pool any more: {_STAYS}")
            self._ledger.give(current, asked)
            yield current

    def _may_stay(self, current: Address, asked: Wish) -> bool:
        if _first(asked.requested, family(current)) not in (None, current):
            return False
        if self._is_of_another_pool(current, asked):
            return False
        if holder := self._ledger.holder(current, asked):
            self._tell(asked, f"{current} is held by {holder}: it gets another one")
            return False
        return True

    def _is_of_another_pool(self, address: Address, asked: Wish) -> bool:
        """Than the one that is asked for, if that is there."""
        if not asked.pool:
            return False
        within = {pool.name: address in pool for pool in self._pools}
        return asked.pool in within and not within[asked.pool] and any(within.values())

    def _reserve_external(self) -> None:
        for service in self._cluster.objects(Service).values():
            for address in _external(service):
                self._ledger.reserve(address, Reservation(service.ref, "an external IP"))

    # What is new.

    def _satisfy(self, asked: Wish, find: Callable[[Wish, Family], Address | None]) -> None:
        held = self._held[asked.service.key]
        for each in asked.families:
            if any(family(address) is each for address in held):
                continue
            if address := find(asked, each):
                self._ledger.give(address, asked)
                held.append(address)

    def _requested(self, asked: Wish, of: Family) -> Address | None:
        address = _first(asked.requested, of)
        if address is None:
            return None
        if not _within(address, self._open_to(asked)):
            self._tell(asked, f"the requested {address} lies in no pool that it may have addresses of")
        elif holder := self._ledger.holder(address, asked):
            self._tell(asked, f"the requested {address} is held by {holder}")
        else:
            return address
        return None

    def _next_free(self, asked: Wish, of: Family) -> Address | None:
        """Nothing where a certain address is requested: that, or none."""
        if _first(asked.requested, of):
            return None
        open_to = [pool for pool in self._open_to(asked) if pool.auto_assign or pool.name == asked.pool]
        for address in self._ledger.shared(asked):
            if family(address) is of and not self._ledger.holder(address, asked) and _within(address, open_to):
                return address
        for pool in open_to:
            if free := self._ledger.free(pool, of):
                return free
        self._tell(asked, _exhausted(of, [pool for pool in open_to if pool.size(of)], asked))
        return None

    def _open_to(self, asked: Wish) -> Iterator[Pool]:
        namespace = self._cluster.get(Namespace, asked.service.namespace)
        labels = namespace.metadata.labels if namespace else {}
        for pool in self._pools:
            if asked.pool in ("", pool.name) and pool.admits(asked.service, labels):
                yield pool

    def _insist(self, asked: Wish) -> None:
        """RequireDualStack: who had nothing gets both or none."""
        held = self._held[asked.service.key]
        if asked.both and not asked.current and len(held) < len(asked.families):
            for address in held:
                self._ledger.take_back(address, asked)
            held.clear()

    def _tell(self, asked: Wish, problem: str) -> None:
        self._problems.append(InputError(asked.service.ref, _FIELD, problem))


def _external(service: Service) -> Iterator[Address]:
    for text in service.spec.external_ips:
        try:
            yield parse_address(text)
        except ValueError:
            continue


def _first(addresses: Iterable[Address], of: Family) -> Address | None:
    return next((address for address in addresses if family(address) is of), None)


def _within(address: Address, open_to: Iterable[Pool]) -> bool:
    return any(address in pool for pool in open_to)


def _exhausted(of: Family, tried: list[Pool], asked: Wish) -> str:
    if tried:
        return f"no {of} address is free in {', '.join(pool.name for pool in tried)}: add a range"
    wanted = f" called {asked.pool} (annotation birdctl.io/{POOL})" if asked.pool else ""
    return f"no pool{wanted} gives it {of} addresses: see the pools' ranges, selectors and autoAssign"
