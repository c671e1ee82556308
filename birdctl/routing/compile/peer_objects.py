"""BGPPeer objects: each read and checked by itself, whether it selects this node or not."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.cluster import bgp, objects
from birdctl.cluster.bgp import BGPPeer, BGPPeerSpec
from birdctl.cluster.faults import Faults
from birdctl.routing.compile import configuration as defaults
from birdctl.routing.compile import values
from birdctl.routing.compile.configuration import Configuration
from birdctl.routing.compile.nodes import NodeFacts
from birdctl.routing.compile.peers import Peer
from birdctl.routing.model import AddPaths, Attributes, Bfd
from birdctl.secret import Secret

FindSecret = Callable[[str], objects.Secret | None]
"""The Secret of a name in birdctl's namespace."""

_ADD_PATHS = {"None": AddPaths.OFF, "Receive": AddPaths.RECEIVE, "Send": AddPaths.SEND, "Both": AddPaths.BOTH}


def selects(item: BGPPeer, node: NodeFacts) -> bool:
    return item.spec.node_selector is None or item.spec.node_selector.matches(node.labels)


def peer(
    item: BGPPeer, configuration: Configuration, secret: FindSecret, nodes: Collection[NodeFacts], faults: Faults
) -> Peer:
    """The peer as its object wants it; not to be used when `faults` has any."""
    spec = item.spec
    if not any(selects(item, node) for node in nodes):
        faults.add("spec.nodeSelector", "selects no node")
    imports, exports = spec.import_ or bgp.ImportPolicy(), spec.export or bgp.ExportPolicy()
    allow = defaults.allowed(spec.import_, faults)
    found = Peer(
        name=item.name,
        origin=item.ref,
        remote_asn=faults.read("spec.asn", values.asn, spec.asn) or 0,
        port=faults.read("spec.port", values.between, spec.port, 1, 65535) or 0,
        local_asn=None if spec.local_asn is None else faults.read("spec.localASN", values.asn, spec.local_asn),
        password=_password(spec.password_secret, secret, faults),
        multihop=_multihop(spec, faults),
        ttl_security=spec.ttl_security,
        timers=defaults.timers(spec.timers, configuration.external_timers, faults),
        graceful_restart=defaults.graceful_restart(spec.graceful_restart, configuration.graceful_restart, faults),
        bfd=_bfd(spec.bfd, faults),
        families=tuple(Family(name) for name in spec.families),
        next_hop_self=spec.next_hop_self,
        passive=spec.passive,
        allow_as_in=faults.read("spec.allowASIn", values.between, spec.allow_as_in, 0, 255) or 0,
        add_paths=_ADD_PATHS[spec.add_paths],
        allow=configuration.allow if allow is None else allow,
        import_limit=defaults.limit(imports.limit, "spec.import.limit", faults) or configuration.import_limit,
        export_pods=configuration.advertise.pod_cidrs if exports.pod_cidrs is None else exports.pod_cidrs,
        export_limit=defaults.limit(exports.limit, "spec.export.limit", faults),
        attributes=_attributes(exports, faults),
        prepend=faults.read("spec.export.prepend", values.between, exports.prepend, 0, values.MOST_PREPENDS) or 0,
    )
    return _with_ends(found, spec, faults)


def _with_ends(found: Peer, spec: BGPPeerSpec, faults: Faults) -> Peer:
    """Both ends' addresses, and the interface between them."""
    address = faults.read("spec.address", values.unicast, spec.address) if spec.address else None
    local = faults.read("spec.localAddress", values.unicast, spec.local_address) if spec.local_address else None
    interface = faults.read("spec.interface", values.interface, spec.interface) if spec.interface else None
    if not spec.address and not spec.interface:
        faults.add("spec.address", "expected an address or an interface")
    if address and local:
        faults.read("spec.localAddress", values.same_family, local, address)
    if address and address.is_link_local and not spec.interface:
        faults.add("spec.interface", f"{address} is link-local and needs its interface")
    if spec.passive and not spec.address:
        faults.add("spec.passive", "a passive peer needs an address")
    return msgspec.structs.replace(found, address=address, local_address=local, interface=interface)


def _multihop(spec: BGPPeerSpec, faults: Faults) -> int | None:
    if spec.multihop_ttl is None:
        return None
    ttl = faults.read("spec.multihopTTL", values.between, spec.multihop_ttl, 1, 255)
    if ttl and ttl > 1 and spec.interface:
        faults.add("spec.multihopTTL", "a peer on an interface is directly connected")
    return ttl if ttl and ttl > 1 else None


def _bfd(spec: bgp.BFD | None, faults: Faults) -> Bfd | None:
    if spec is None:
        return None
    send = faults.read("spec.bfd.minTx", values.milliseconds, spec.min_tx, 1, 60_000)
    receive = faults.read("spec.bfd.minRx", values.milliseconds, spec.min_rx, 1, 60_000)
    multiplier = faults.read("spec.bfd.multiplier", values.between, spec.multiplier, 1, 255)
    if not (spec.enabled and send and receive and multiplier):
        return None
    return Bfd(min_tx=send, min_rx=receive, multiplier=multiplier)


def _attributes(exports: bgp.ExportPolicy, faults: Faults) -> Attributes:
    if exports.med is not None:
        faults.read("spec.export.med", values.between, exports.med, 0, 2**32 - 1)
    return replace(defaults.communities(exports.communities, "spec.export.communities", faults), med=exports.med)


def _password(reference: bgp.SecretKeyRef | None, secret: FindSecret, faults: Faults) -> Secret | None:
    if reference is None:
        return None
    found = secret(reference.name)
    if found is None:
        faults.add("spec.passwordSecret.name", f"Secret {reference.name} does not exist in birdctl's namespace")
        return None
    if reference.key in found.string_data:
        return faults.read("spec.passwordSecret", values.password, found.string_data[reference.key].encode())
    if reference.key in found.data:
        return faults.read("spec.passwordSecret", values.base64_password, found.data[reference.key])
    faults.add("spec.passwordSecret.key", f"{found.ref} has no key {reference.key}")
    return None
