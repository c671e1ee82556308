"""What the API's validation accepts, read for the semantics as the compiler's own checks are not."""

from __future__ import annotations

import ipaddress
import re

from birdctl.addresses import Prefix
from birdctl.cluster.clusterpolicy import ClusterEgressRule, ClusterIngressRule, PolicyPeer, PolicyProtocol
from birdctl.cluster.objects import IPBlock, NetworkPolicyPeer, NetworkPolicyPort

ClusterRule = ClusterIngressRule | ClusterEgressRule


def cluster_peers(rule: ClusterRule) -> tuple[PolicyPeer, ...]:
    return rule.from_ if isinstance(rule, ClusterIngressRule) else rule.to


def valid_cidr(text: str) -> bool:
    try:
        network(text)
    except ValueError:
        return False
    return re.fullmatch(r"[^%]+/[0-9]+", text) is not None


def network(text: str) -> Prefix:
    return ipaddress.ip_network(re.sub(r"(^|\.)0+(?=\d)", r"\1", text), strict=False)


def networks(block: IPBlock) -> list[Prefix]:
    return [network(text) for text in (block.cidr, *block.except_)]


def valid_peer(peer: NetworkPolicyPeer) -> bool:
    selects = peer.pod_selector is not None or peer.namespace_selector is not None
    if peer.ip_block is None or selects:
        return selects and peer.ip_block is None
    if not all(map(valid_cidr, (peer.ip_block.cidr, *peer.ip_block.except_))):
        return False
    whole, *parts = networks(peer.ip_block)
    return all(
        part.version == whole.version and part.network_address in whole and part.prefixlen > whole.prefixlen
        for part in parts
    )


def valid_port(port: NetworkPolicyPort) -> bool:
    if port.protocol not in ("TCP", "UDP", "SCTP"):
        return False
    if not isinstance(port.port, int):
        named = port.port is None or bool(
            re.fullmatch(r"[a-z0-9-]{1,15}", port.port)
            and re.search("[a-z]", port.port)
            and not re.search("^-|-$|--", port.port)
        )
        return named and port.end_port is None
    highest = port.port if port.end_port is None else port.end_port
    return 1 <= port.port <= highest <= 65535  # noqa: PLR2004


def understood(rule: ClusterRule) -> bool:
    peers = cluster_peers(rule)
    return (
        bool(peers)
        and rule.protocols != ()
        and rule.action in ("Accept", "Deny", "Pass")
        and all(valid_cluster_peer(peer, rule) for peer in peers)
        and all(valid_protocol(protocol) for protocol in rule.protocols or ())
        and not (any(map(_has_no_pods, peers)) and any(each.destination_named_port for each in rule.protocols or ()))
    )


def _has_no_pods(peer: PolicyPeer) -> bool:
    return bool(peer.networks) or peer.nodes is not None


def valid_cluster_peer(peer: PolicyPeer, rule: ClusterRule) -> bool:
    kinds = [peer.namespaces is not None, peer.pods is not None, bool(peer.networks), peer.nodes is not None]
    if isinstance(rule, ClusterIngressRule) and any(kinds[2:]):
        return False
    return sum(kinds) == 1 and all(map(valid_cidr, peer.networks))


def valid_protocol(protocol: PolicyProtocol) -> bool:
    given = [ports for ports in (protocol.tcp, protocol.udp, protocol.sctp) if ports is not None]
    if len(given) + bool(protocol.destination_named_port) != 1:
        return False
    port = given[0].destination_port if given else None
    if port is None:
        return True
    if (port.number is None) == (port.range is None):
        return False
    low, high = bounds(protocol)
    return 1 <= low <= high <= 65535  # noqa: PLR2004


def bounds(protocol: PolicyProtocol) -> tuple[int, int]:
    ports = protocol.tcp or protocol.udp or protocol.sctp
    port = ports.destination_port if ports else None
    if port and port.range:
        return port.range.start, port.range.end
    return (port.number, port.number) if port and port.number else (0, 0)
