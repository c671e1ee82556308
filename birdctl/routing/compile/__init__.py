"""The routing compiler: what the cluster says, as the BIRD configuration of one node."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from birdctl.addresses import Family, sort_key
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.objects import Node
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.routing.compile import nodes
from birdctl.routing.compile.names import digit, symbol
from birdctl.addresses import parse_address
from birdctl.routing.model import (
    BirdConfig,
    Channel,
    Filter,
    GracefulRestart,
    NextHopSelf,
    Originated,
    PeerType,
    PrefixPattern,
    Session,
    Term,
)
from birdctl.routing.options import RoutingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """`usable` False: the node itself cannot be understood; what runs must stay as it is."""

    config: BirdConfig
    problems: tuple[InputError, ...] = ()
    recheck_at: float | None = None
    usable: bool = True


class RoutingCompiler:
    def __init__(self, node: str, options: RoutingOptions) -> None:
        self._node = node
        self._options = options

    def compile(
        self, cluster: Cluster, *, version: tuple[int, ...], now: float, dirty: Collection[Key] | None = None
    ) -> Compiled:
        every = {name: nodes.facts(item, self._options) for name, item in cluster.objects(Node).items()}
        own = every.get(self._node)
        if own is None:
            config = BirdConfig(node=self._node, version=version, router_id="0.0.0.1", families=())
            problem = InputError(f"Node {self._node}", "", "does not exist")
            return Compiled(config=config, problems=(problem,), usable=False)
        sessions, filters = [], []
        for peer in every.values():
            both = [item for item in own.families if item in peer.families]
            if peer is own or not both:
                continue
            mine, theirs = own.addresses[both[0]], peer.addresses[both[0]]
            sessions.append(
                Session(
                    name=symbol("node", peer.name),
                    peer=peer.name,
                    type=PeerType.MESH,
                    origin=peer.ref,
                    local_asn=self._options.cluster_asn,
                    remote_asn=self._options.cluster_asn,
                    address=theirs,
                    local_address=mine,
                    multihop=64,
                    passive=sort_key(mine) > sort_key(theirs),
                    graceful_restart=GracefulRestart(),
                    channels=tuple(
                        Channel(
                            family=item,
                            import_filter=f"mesh_in{digit(item)}",
                            export_filter=f"mesh_out{digit(item)}",
                            next_hop_self=NextHopSelf.EBGP,
                            next_hop_address=None if item is both[0] else own.addresses[item],
                        )
                        for item in both
                    ),
                )
            )
        for item in own.families:
            cidrs = [prefix for prefix in own.pod_cidrs if (prefix.version == 4) == (item is Family.IPV4)]
            guard = tuple(
                PrefixPattern(prefix=prefix, min_length=prefix.prefixlen, max_length=item.bits) for prefix in cidrs
            )
            filters += [
                Filter(
                    name=f"mesh_in{digit(item)}",
                    family=item,
                    terms=(*([Term(accept=False, prefixes=guard)] if guard else []), Term(accept=True)),
                ),
                Filter(
                    name=f"mesh_out{digit(item)}",
                    family=item,
                    terms=(
                        Term(accept=True, protocols=(f"pods{digit(item)}",)),
                        Term(accept=True, sources=("RTS_BGP",)),
                    ),
                ),
            ]
        for bgp_peer in cluster.objects(BGPPeer).values():
            selector = bgp_peer.spec.node_selector
            if (selector and not selector.matches(own.labels)) or not bgp_peer.spec.address:
                continue
            name, channels = symbol("peer", bgp_peer.name), []
            address = parse_address(bgp_peer.spec.address)
            for item in own.families:
                if (item is Family.IPV4) != (address.version == 4):
                    continue
                into, out = (symbol(way + digit(item), bgp_peer.name) for way in ("in", "out"))
                channels.append(Channel(family=item, import_filter=into, export_filter=out))
                filters += [
                    Filter(name=into, family=item, terms=()),
                    Filter(name=out, family=item, terms=(Term(accept=True, protocols=(f"pods{digit(item)}",)),)),
                ]
            sessions.append(
                Session(
                    name=name,
                    peer=bgp_peer.name,
                    type=PeerType.EXTERNAL,
                    origin=bgp_peer.ref,
                    local_asn=self._options.cluster_asn,
                    remote_asn=bgp_peer.spec.asn,
                    address=address,
                    graceful_restart=GracefulRestart(),
                    channels=tuple(channels),
                )
            )
        originated = []
        for item in own.families:
            cidrs = [prefix for prefix in own.pod_cidrs if (prefix.version == 4) == (item is Family.IPV4)]
            if cidrs:
                originated.append(
                    Originated(
                        name=f"pods{digit(item)}",
                        family=item,
                        origin=own.ref,
                        prefixes=tuple(sorted(cidrs, key=sort_key)),
                        sources=("pod",) * len(cidrs),
                    )
                )
        config = BirdConfig(
            node=self._node,
            version=version,
            router_id=str(own.addresses.get(Family.IPV4, "0.0.0.1")),
            families=own.families,
            sessions=tuple(sorted(sessions, key=lambda item: item.name)),
            originated=tuple(originated),
            filters=tuple(sorted(filters, key=lambda item: item.name)),
        )
        return Compiled(config=config, problems=tuple(p for f in every.values() for p in f.problems))
