"""What the API says about the first packet of a connection, read from the objects alone.

Written for its own sake and unlike the compiler, which is tested against it. A packet leaves a pod (its egress) and
reaches a pod (its ingress); each is judged by the policies that select that pod, and both must allow it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.cluster.clusterpolicy import (
    ClusterNetworkPolicy,
    PolicyPeer,
    PolicyProtocol,
    PolicySubject,
)
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import pod_cidrs
from birdctl.cluster.objects import (
    Labels,
    Namespace,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    Node,
    Pod,
)
from birdctl.cluster.store import Cluster
from birdctl.policies.model import Direction
from birdctl.policies.packet import Packet
from birdctl.policies.validity import (
    ClusterRule,
    bounds,
    cluster_peers,
    network,
    networks,
    understood,
    valid_peer,
    valid_port,
)

Rule = NetworkPolicyIngressRule | NetworkPolicyEgressRule

LOCAL_IP = "LocalIP"
"""The type of those addresses in a Node's status that were not in it, but found on the node (a bridge's)."""
_STAGED = "birdctl.io/staged"
_ERRORS_AND_NEIGHBOURS = {"icmp": {3, 11, 12}, "ipv6-icmp": {1, 2, 3, 4, *range(130, 137), 143}}
"""ICMP types without which paths do not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that was decided about one end, by `policies` ("NetworkPolicy ns/name") or without any."""

    direction: Direction
    text: str
    policies: tuple[str, ...] = ()
    allowed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether both ends allow it, why, and which staged policies would not. `silent`: refused without an answer."""

    allowed: bool
    silent: bool
    why: tuple[Reason, ...]
    would_deny: tuple[str, ...]


def judge(cluster: Cluster, packet: Packet, *, default_deny: bool = False, drop: bool = False) -> Judgement:
    """What the objects say. `default_deny` and `drop` are the settings of all nodes."""
    if _never_refused(packet):
        return Judgement(allowed=True, silent=False, why=(), would_deny=())
    ends = [
        _End(cluster, packet, direction, default_deny=default_deny, drop=drop)
        for direction in (Direction.EGRESS, Direction.INGRESS)
    ]
    for end in ends:
        end.judge()
        if not end.allowed:
            break
    return Judgement(
        allowed=all(end.allowed for end in ends),
        silent=any(end.silent for end in ends),
        why=tuple(reason for end in ends for reason in end.why),
        would_deny=tuple(policy for end in ends for policy in end.would_deny),
    )


def _never_refused(packet: Packet) -> bool:
    return packet.source == packet.destination or packet.port in _ERRORS_AND_NEIGHBOURS.get(packet.protocol, ())


class _End:
    """One end of a connection."""

    def __init__(
        self, cluster: Cluster, packet: Packet, direction: Direction, *, default_deny: bool, drop: bool
    ) -> None:
        self._cluster = cluster
        self._packet = packet
        self._direction = direction
        self._default_deny = default_deny
        self._drop = drop
        ingress = direction is Direction.INGRESS
        self._here = packet.destination if ingress else packet.source
        self._peer = packet.source if ingress else packet.destination
        self._pod = pod_at(cluster, self._here)
        self._peer_pod = pod_at(cluster, self._peer)
        self.allowed = True
        self.silent = False
        self.why: list[Reason] = []
        self.would_deny: list[str] = []

    def judge(self) -> None:
        if self._pod is None:
            self._judge_unknown()
        elif self._peer in _all_addresses(self._cluster.get(Node, self._pod.spec.node_name)):
            self._say("a pod and its own node always reach each other", allowed=True)
        else:
            self._judge_pod(self._pod)

    def _judge_unknown(self) -> None:
        node = _node_of(self._cluster, self._here) if self._default_deny else None
        if node and self._here not in _all_addresses(node) and self._peer not in _all_addresses(node):
            self._say(f"{self._here} is no known pod of node {node.name}: closed by default", allowed=False)
            self.allowed, self.silent = False, self._drop

    def _judge_pod(self, pod: Pod) -> None:
        """Tier by tier: Admin, NetworkPolicy, Baseline; who decides first decides."""
        admin = self._tier(pod, "Admin")
        if admin in ("Accept", "Deny"):
            self._decide(allowed=admin == "Accept", silent=True)
        elif policies := self._selecting(pod):
            allowed = self._network_policies(policies)
            if not allowed:
                self._say("selected, and none of these allows it", *policies, allowed=False)
            self._decide(allowed=allowed, silent=self._drop)
        else:
            self._judge_staged(self._selecting(pod, staged=True))
            self._decide(allowed=self._tier(pod, "Baseline") != "Deny", silent=True)

    def _decide(self, *, allowed: bool, silent: bool) -> None:
        self.allowed, self.silent = allowed, silent and not allowed

    def _say(self, text: str, *policies: NetworkPolicy | ClusterNetworkPolicy, allowed: bool | None = None) -> None:
        refs = tuple(policy.ref for policy in policies)
        self.why.append(Reason(direction=self._direction, text=text, policies=refs, allowed=allowed))

    # NetworkPolicy

    def _selecting(self, pod: Pod, *, staged: bool = False) -> list[NetworkPolicy]:
        """Those that isolate the pod in this direction."""
        found = [
            policy
            for policy in self._cluster.objects(NetworkPolicy).values()
            if policy.namespace == pod.namespace
            and policy.spec.pod_selector.matches(pod.metadata.labels)
            and self._direction in policy.spec.policy_types
        ]
        chosen = (policy for policy in found if _is_staged(policy) is staged)
        return sorted(chosen, key=lambda policy: policy.key)

    def _network_policies(self, policies: Iterable[NetworkPolicy]) -> bool:
        """They add up."""
        for policy in policies:
            for index, rule in enumerate(self._rules(policy)):
                if self._rule_allows(policy, rule):
                    name = f"{self._direction.lower()} rule {index + 1}"
                    self._say(f"{name} allows it", policy, allowed=True)
                    return True
        return False

    def _rules(self, policy: NetworkPolicy) -> Iterable[Rule]:
        """None if anything in the policy would not have passed validation."""
        every: list[Rule] = [*policy.spec.ingress, *policy.spec.egress]
        if not all(valid_peer(peer) for rule in every for peer in _peers(rule)):
            return ()
        if not all(valid_port(port) for rule in every for port in rule.ports):
            return ()
        return policy.spec.ingress if self._direction is Direction.INGRESS else policy.spec.egress

    def _rule_allows(self, policy: NetworkPolicy, rule: Rule) -> bool:
        return any(
            self._peer_is(policy, peer) and self._port_is(port)
            for peer in _peers(rule) or (None,)
            for port in rule.ports or (None,)
        )

    def _peer_is(self, policy: NetworkPolicy, peer: NetworkPolicyPeer | None) -> bool:
        if peer is None:
            return True
        if peer.ip_block is not None:
            inside, *excepts = networks(peer.ip_block)
            return self._peer in inside and not any(self._peer in part for part in excepts)
        pod = self._peer_pod
        if pod is None or (peer.pod_selector and not peer.pod_selector.matches(pod.metadata.labels)):
            return False
        if peer.namespace_selector is None:
            return pod.namespace == policy.namespace
        return peer.namespace_selector.matches(_labels(self._cluster, pod.namespace))

    def _port_is(self, port: NetworkPolicyPort | None) -> bool:
        if port is None:
            return True
        if port.protocol.lower() != self._packet.protocol:
            return False
        if port.port is None:
            return True
        if isinstance(port.port, str):
            return self._named_port_is(port.port)
        return port.port <= self._packet.port <= (port.end_port or port.port)

    def _named_port_is(self, name: str) -> bool:
        """Whether the destination pod calls the packet's port so."""
        pod = self._pod if self._direction is Direction.INGRESS else self._peer_pod
        ports = [port for container in pod.spec.running_containers for port in container.ports] if pod else []
        wanted = (name, self._packet.protocol, self._packet.port)
        return wanted in ((port.name, port.protocol.lower(), port.container_port) for port in ports)

    def _judge_staged(self, policies: list[NetworkPolicy]) -> None:
        if policies and not any(self._rule_allows(policy, rule) for policy in policies for rule in self._rules(policy)):
            self.would_deny += [policy.ref for policy in policies]

    # ClusterNetworkPolicy

    def _tier(self, pod: Pod, tier: str) -> str | None:
        """Accept, Deny or Pass; None if no rule of the tier matches."""
        everything = self._cluster.objects(ClusterNetworkPolicy).values()
        policies = sorted(everything, key=lambda policy: (policy.spec.priority, policy.name))
        for policy in policies:
            if policy.spec.tier != tier or not self._is_subject(policy.spec.subject, pod):
                continue
            action = next((self._action(rule) for rule in self._cluster_rules(policy) if self._matches(rule)), None)
            if action and _is_staged(policy):
                self.would_deny += [policy.ref] if action == "Deny" else []
            elif action:
                self._say(f"{tier} tier: {action}", policy, allowed={"Accept": True, "Deny": False}.get(action))
                return action
        return None

    def _cluster_rules(self, policy: ClusterNetworkPolicy) -> tuple[ClusterRule, ...]:
        rules: tuple[ClusterRule, ...]
        rules = policy.spec.ingress if self._direction is Direction.INGRESS else policy.spec.egress
        if not _is_unclear(policy.spec.subject):
            return rules
        return tuple(replace(rule, action="Deny") for rule in rules if rule.action != "Accept")

    def _action(self, rule: ClusterRule) -> str:
        """What is not wholly understood is a Deny, should it match."""
        return rule.action if understood(rule) else "Deny"

    def _matches(self, rule: ClusterRule) -> bool:
        """A rule that is not wholly understood matches everything, or nothing if it is an Accept."""
        if not understood(rule):
            return rule.action != "Accept"
        return any(
            self._cluster_peer_is(peer) and self._protocol_is(protocol)
            for peer in cluster_peers(rule)
            for protocol in (rule.protocols if rule.protocols is not None else (None,))
        )

    def _is_subject(self, subject: PolicySubject, pod: Pod) -> bool:
        """A subject that cannot be understood is every pod, to which the policy then does nothing but deny."""
        return _is_unclear(subject) or self._selects(subject, pod)

    def _selects(self, selection: PolicySubject | PolicyPeer, pod: Pod) -> bool:
        labels = _labels(self._cluster, pod.namespace)
        if selection.namespaces is not None:
            return selection.namespaces.matches(labels)
        pods = selection.pods
        return bool(pods and pods.namespace_selector.matches(labels) and pods.pod_selector.matches(pod.metadata.labels))

    def _cluster_peer_is(self, peer: PolicyPeer) -> bool:
        if peer.networks:
            return any(self._peer in network(text) for text in peer.networks)
        if peer.nodes is not None:
            nodes = self._cluster.objects(Node).values()
            return any(self._peer in _addresses(node) for node in nodes if peer.nodes.matches(node.metadata.labels))
        return self._peer_pod is not None and self._selects(peer, self._peer_pod)

    def _protocol_is(self, protocol: PolicyProtocol | None) -> bool:
        if protocol is None:
            return True
        if protocol.destination_named_port:
            return self._named_port_is(protocol.destination_named_port)
        ports = {"tcp": protocol.tcp, "udp": protocol.udp, "sctp": protocol.sctp}.get(self._packet.protocol)
        if ports is None or ports.destination_port is None:
            return ports is not None
        low, high = bounds(protocol)
        return low <= self._packet.port <= high


def pod_at(cluster: Cluster, address: Address) -> Pod | None:
    """The running pod whose own address it is; should several claim it, one that stays, the first by name."""
    found = (
        pod
        for pod in cluster.objects(Pod).values()
        if not pod.spec.host_network
        and pod.status.phase not in ("Succeeded", "Failed")
        and str(address) in {_canonical(item.ip) for item in pod.status.pod_ips}
    )
    return min(found, key=lambda pod: (pod.metadata.deletion_timestamp != "", pod.key), default=None)


def _canonical(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _addresses(node: Node | None, types: tuple[str, ...] = ("InternalIP", "ExternalIP")) -> set[Address]:
    items = node.status.addresses if node else ()
    texts = (_canonical(item.address) for item in items if item.type in types)
    return {ipaddress.ip_address(text) for text in texts if text}


def _all_addresses(node: Node | None) -> set[Address]:
    """Those that nobody but the node itself knows, too."""
    return _addresses(node, ("InternalIP", "ExternalIP", LOCAL_IP))


def _node_of(cluster: Cluster, address: Address) -> Node | None:
    """The node that gives its pods addresses like this."""
    for node in cluster.objects(Node).values():
        if any(address in prefix for prefix in pod_cidrs(node, Faults(node.ref))):
            return node
    return None


def _labels(cluster: Cluster, namespace: str) -> Labels:
    found = cluster.get(Namespace, namespace)
    return found.metadata.labels if found else {"kubernetes.io/metadata.name": namespace}


def _is_unclear(subject: PolicySubject) -> bool:
    return (subject.namespaces is None) == (subject.pods is None)


def _is_staged(policy: NetworkPolicy | ClusterNetworkPolicy) -> bool:
    return policy.metadata.annotations.get(_STAGED) == "true"


def _peers(rule: Rule) -> tuple[NetworkPolicyPeer, ...]:
    return rule.from_ if isinstance(rule, NetworkPolicyIngressRule) else rule.to
