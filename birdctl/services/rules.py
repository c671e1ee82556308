"""The rules and sets around virtual servers: what an address answers, what is masqueraded, what is marked. Pure.

Their number does not depend on that of services: these are members of sets. Only direct server return, which needs a
mark for each port, has a rule for each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from birdctl.addresses import Address, Family, Prefix, family, host_prefix
from birdctl.netfilter import model as netfilter
from birdctl.netfilter.model import Chain, Entry, IpSet, Net, Owner, Rule, SetMatch, SetType, Table, TableName
from birdctl.services.model import DirectReturn, Mark, Port, ServiceState, Source
from birdctl.services.options import ServiceOptions

ICMP_TYPES = {Family.IPV4: (3, 8, 11, 12), Family.IPV6: (1, 2, 3, 4, 128, 135, 136)}
"""What an address answers besides its ports: echo requests, errors that keep paths working, neighbours."""
_ICMP = {Family.IPV4: ("icmp", "icmp", "--icmp-type"), Family.IPV6: ("ipv6-icmp", "icmp6", "--icmpv6-type")}
_HEADERS = {Family.IPV4: 60, Family.IPV6: 100}
"""Bytes that TCP, IP and the tunnel's IP take of a packet."""
_NEW = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
_MASQUERADED = ("-m", "ipvs", "--vdir", "ORIGINAL", "--vmethod", "MASQ")
_WHOLE_MARK = "0xffffffff"
_SYN = ("-m", "tcp", "--tcp-flags", "FIN,SYN,RST,ACK", "SYN")
"""What begins a connection. With direct server return, conntrack takes all that a client sends for new."""
_RESET = Rule(target="REJECT", protocol="tcp", options=("--reject-with", "tcp-reset"))
_REFUSED = (_RESET, Rule(target="REJECT"))
"""A client believes a reset at once. Of ICMP there are few a second, and a busy IPv6 socket tries again first."""
_PREFIX = Owner.SERVICES.chain_prefix
INPUT, POSTROUTING, DIRECT, REPLIES, ASTRAY = (
    f"{_PREFIX}{name}" for name in ("INPUT", "POSTROUTING", "DIRECT", "REPLIES", "ASTRAY")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRules:
    """Everything of one node. Both mappings hold what is ours only."""

    tables: Mapping[tuple[Family, TableName], Table]
    sets: Mapping[str, IpSet]


class RuleCompiler:
    """Compiles for one node, owned by one thread. Sets that do not change stay the same objects."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._vips = _Contents("vips", SetType.IP, "addresses of services", _address)
        self._ports = _Contents("ports", SetType.IP_PORT, "what they answer on", _port)
        self._unserved = _Contents("unserved", SetType.IP_PORT, "what no endpoint serves", _port)
        self._inside = _Contents("inside", SetType.IP_PORT, "what only the cluster's own may use", _port)
        self._limited = _Contents("limited", SetType.IP_PORT, "what only some clients may use", _port)
        self._sources = _Contents("sources", SetType.IP_PORT_NET, "and who may", _source)
        self._hairpin = _Contents("hairpin", SetType.IP_PORT_IP, "endpoints that may reach themselves", _to_itself)
        self._pods = _Contents("pods", SetType.NET, "the cluster's pods", _net)
        self._own = _Contents("own", SetType.NET, "this node's pods", _net)
        self._here = _Contents("here", SetType.NET, "this node's pods and addresses", _net)
        self._direct = _Contents("direct", SetType.IP_PORT, "ports with direct server return", _port)
        self._returned = _Contents("returned", SetType.IP, "addresses with direct server return", _address)

    def compile(self, state: ServiceState, *, mtu: int = 1500) -> ServiceRules:
        """The rules for `state`. `mtu` is that of the network between nodes, in bytes."""
        sets = {each.name: each for contents in self._contents(state) for each in contents.values()}
        tables = [
            table
            for of, enabled in ((Family.IPV4, self._options.enable_ipv4), (Family.IPV6, self._options.enable_ipv6))
            if enabled and of in state.sources
            for table in self._tables(of, state, mtu)
        ]
        present = {table.family for table in tables}
        return ServiceRules(
            tables={(table.family, table.name): table for table in tables},
            sets={name: each for name, each in sets.items() if each.family in present},
        )

    def _contents(self, state: ServiceState) -> Iterator[Mapping[Family, IpSet]]:
        yield self._vips.follow(state.addresses - state.node_addresses)
        yield self._ports.follow(state.vip_ports)
        yield self._unserved.follow(state.unserved)
        yield self._inside.follow(state.inside_only)
        yield self._limited.follow(state.limited)
        yield self._sources.follow(state.sources_allowed)
        yield self._hairpin.follow(state.hairpin)
        yield self._pods.follow(state.pods)
        yield self._own.follow(state.local_pods)
        yield self._here.follow(state.local_pods.union(map(host_prefix, state.node_addresses)))
        yield self._direct.follow(frozenset(each.port for each in state.direct_returns))
        yield self._returned.follow(frozenset(each.port.address for each in state.direct_returns))

    def _tables(self, of: Family, state: ServiceState, mtu: int) -> Iterator[Table]:
        returns = [each for each in state.direct_returns if family(each.port.address) is of]
        hooks = (("INPUT", Rule(target=INPUT, extra=_NEW)), *(_astray_hooks(of) if returns else ()))
        astray = (Chain(name=ASTRAY, rules=_REFUSED),) if returns else ()
        yield _table(of, "filter", hooks, Chain(name=INPUT, rules=tuple(self._input(of))), *astray)
        hook = ("POSTROUTING", Rule(target=POSTROUTING, extra=_MASQUERADED))
        yield _table(of, "nat", (hook,), Chain(name=POSTROUTING, rules=tuple(self._postrouting(of))))
        if returns:
            marking = Chain(name=DIRECT, rules=tuple(_marking(each, state) for each in returns))
            yield _table(of, "mangle", _direct_hooks(of), marking, Chain(name=REPLIES, rules=(_clamping(of, mtu),)))

    def _input(self, of: Family) -> Iterator[Rule]:
        """What is new and comes to this node; what it asks itself for never gets here."""
        inside, pods = _match(of, "inside", "dst,dst"), _match(of, "pods", "src", negated=True)
        yield Rule(target="DROP", sets=(inside, pods))
        yield Rule(
            target="DROP", sets=(_match(of, "limited", "dst,dst"), _match(of, "sources", "dst,dst,src", negated=True))
        )
        yield replace(_RESET, sets=(_match(of, "unserved", "dst,dst"),), extra=_SYN)
        if not self._options.ipvs_permit_all:
            return
        yield Rule(target="RETURN", sets=(_match(of, "vips", "dst", negated=True),))
        protocol, module, option = _ICMP[of]
        for number in ICMP_TYPES[of]:
            yield Rule(target="ACCEPT", protocol=protocol, extra=("-m", module, option, str(number)))
        yield Rule(target="ACCEPT", sets=(_match(of, "ports", "dst,dst"),))
        yield from _REFUSED

    def _postrouting(self, of: Family) -> Iterator[Rule]:
        """An endpoint answers this node where the answer would not come back this way, or where it asks itself.

        Only what goes to this node's pods, or is asked by them, comes back by itself. A pod of another node that asks
        this node's port would be answered directly, by an address that it did not ask.
        """
        masquerade = Rule(target="MASQUERADE", options=("--random-fully",))
        if self._options.masquerade_all:
            yield masquerade
            return
        yield replace(masquerade, sets=(_match(of, "hairpin", "dst,dst,src"),))
        yield replace(
            masquerade, sets=(_match(of, "own", "src", negated=True), _match(of, "here", "dst", negated=True))
        )


def _table(of: Family, name: TableName, hooks: tuple[tuple[str, Rule], ...], *chains: Chain) -> Table:
    return Table(owner=Owner.SERVICES, family=of, name=name, hooks=hooks, chains={each.name: each for each in chains})


def _direct_hooks(of: Family) -> tuple[tuple[str, Rule], ...]:
    asked = Rule(target=DIRECT, sets=(_match(of, "direct", "dst,dst"),))
    answering = Rule(target=REPLIES, protocol="tcp", sets=(_match(of, "direct", "src,src"),))
    return ("PREROUTING", asked), ("PREROUTING", answering), ("OUTPUT", asked)


def _astray_hooks(of: Family) -> tuple[tuple[str, Rule], ...]:
    """What an address with direct server return does not serve is not this node's, and would go back to the network.

    Errors about a connection do pass: IPVS takes them out of FORWARD, and tunnels them to its pod.
    """
    sets = (_match(of, "returned", "dst"), _match(of, "direct", "dst,dst", negated=True))
    return tuple((chain, Rule(target=ASTRAY, sets=sets, extra=_NEW)) for chain in ("FORWARD", "OUTPUT"))


def _marking(each: DirectReturn, state: ServiceState) -> Rule:
    server = state.virtual_servers.get(Mark(mark=each.mark, family=family(each.port.address)))
    return Rule(
        target="MARK",
        destination=host_prefix(each.port.address),
        protocol=each.port.protocol.lower(),
        ports=(each.port.port, each.port.port),
        options=("--set-xmark", f"{each.mark:#x}/{_WHOLE_MARK}"),
        origins=(f"Service {server.owner.service}",) if server and server.owner else (),
    )


def _clamping(of: Family, mtu: int) -> Rule:
    """Clients send no more than goes through the tunnel in one piece."""
    return Rule(
        target="TCPMSS",
        protocol="tcp",
        extra=("-m", "tcp", "--tcp-flags", "SYN,RST", "SYN"),
        options=("--set-mss", str(mtu - _HEADERS[of])),
    )


def set_name(kind: str, of: Family) -> str:
    """Of the set of a kind (vips, ports, inside, …) and family."""
    return f"{Owner.SERVICES.set_prefix}{kind}{of.digit}"


def _match(of: Family, kind: str, directions: str, *, negated: bool = False) -> SetMatch:
    return SetMatch(name=set_name(kind, of), directions=directions, negated=negated)


T = TypeVar("T", bound=Address | Prefix | Port | Source)


class _Contents(Generic[T]):
    """The sets of one kind, which follow a collection at the cost of what changes in it."""

    def __init__(self, kind: str, type_: SetType, meaning: str, entry: Callable[[T], Entry]) -> None:
        self._members: frozenset[T] = frozenset()
        self._entry = entry
        self._sets = {
            of: IpSet(name=set_name(kind, of), type=type_, family=of, entries=frozenset(), meaning=meaning)
            for of in Family
        }

    def follow(self, members: frozenset[T]) -> Mapping[Family, IpSet]:
        if members is not self._members:
            coming, going = self._by_family(members - self._members), self._by_family(self._members - members)
            for of in {*coming, *going}:
                entries = self._sets[of].entries.difference(going.get(of, ())).union(coming.get(of, ()))
                self._sets[of] = replace(self._sets[of], entries=entries)
            self._members = members
        return self._sets

    def _by_family(self, members: Collection[T]) -> dict[Family, list[Entry]]:
        found: dict[Family, list[Entry]] = {}
        for each in members:
            of = each.family if isinstance(each, Port | Source) else family(each)
            found.setdefault(of, []).append(self._entry(each))
        return found


def _address(address: Address) -> Entry:
    return address


def _net(prefix: Prefix) -> Entry:
    return Net(prefix=prefix)


def _port(port: Port, peer: Address | Prefix | None = None) -> Entry:
    return netfilter.Port(address=port.address, protocol=port.protocol.lower(), port=port.port, peer=peer)


def _source(source: Source) -> Entry:
    return _port(source.port, source.prefix)


def _to_itself(port: Port) -> Entry:
    return _port(port, port.address)
