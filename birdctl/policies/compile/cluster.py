"""From ClusterNetworkPolicy to rules.

Fails closed rule by rule, as the API asks: with a peer or protocol that cannot be understood an Accept matches nothing,
and anything else denies everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from birdctl.cluster.clusterpolicy import (
    ClusterEgressRule,
    ClusterIngressRule,
    ClusterNetworkPolicy,
    NamespacedPods,
    PolicyPeer,
    PolicyProtocol,
    PolicySubject,
    ProtocolPorts,
)
from birdctl.cluster.objects import LabelSelector
from birdctl.errors import InputError
from birdctl.netfilter.model import Effect
from birdctl.policies.compile.cidrs import parse_cidr
from birdctl.policies.compile.network import STAGED
from birdctl.policies.compile.peers import Block, Nodes, Peer, Pods, Selector
from birdctl.policies.compile.rules import HIGHEST_PORT, Policy, PolicyRule, PortMatch
from birdctl.policies.model import Direction

_EFFECTS = {"Accept": Effect.ALLOW, "Deny": Effect.DENY, "Pass": Effect.PASS}
_DENY_ALL = PolicyRule(effect=Effect.DENY, peers=(None,), ports=(PortMatch(),))
_HIGHEST_PRIORITY = 1000


def cluster_policy(policy: ClusterNetworkPolicy) -> Policy:
    """What it says. A subject that cannot be understood is every pod, and the rules then do nothing but deny."""
    spec = policy.spec
    problems: list[InputError] = []
    if not 0 <= spec.priority <= _HIGHEST_PRIORITY:
        problems.append(InputError(policy.ref, "spec.priority", f"expected 0 to {_HIGHEST_PRIORITY}"))
    subject = _pods(spec.subject)
    if subject is None:
        problems.append(InputError(policy.ref, "spec.subject", "one of namespaces and pods is required"))
    rules = {
        Direction.INGRESS: tuple(_rules(spec.ingress, policy.ref, "spec.ingress", problems)),
        Direction.EGRESS: tuple(_rules(spec.egress, policy.ref, "spec.egress", problems)),
    }
    if subject is None:
        rules = {direction: _denying(found) for direction, found in rules.items()}
    return Policy(
        ref=policy.ref,
        key=policy.key,
        kind=policy.kind,
        subject=subject or Pods(),
        rules={direction: found for direction, found in rules.items() if found},
        staged=policy.metadata.annotations.get(STAGED) == "true",
        order=(spec.tier == "Baseline", spec.priority, policy.name),
        problems=tuple(problems),
    )


def _rules(
    rules: Sequence[ClusterIngressRule | ClusterEgressRule],
    ref: str,
    path: str,
    problems: list[InputError],
) -> Iterator[PolicyRule]:
    for index, rule in enumerate(rules):
        faults: list[InputError] = []
        where = f"{path}[{index}]"
        found = _rule(rule, ref, where, faults)
        problems += faults
        if not faults:
            yield found
        elif rule.action != "Accept":
            yield _DENY_ALL


def _denying(rules: tuple[PolicyRule, ...]) -> tuple[PolicyRule, ...]:
    return tuple(replace(rule, effect=Effect.DENY) for rule in rules if rule.effect is not Effect.ALLOW)


def _rule(rule: ClusterIngressRule | ClusterEgressRule, ref: str, path: str, faults: list[InputError]) -> PolicyRule:
    ingress = isinstance(rule, ClusterIngressRule)
    name, items = ("from", rule.from_) if isinstance(rule, ClusterIngressRule) else ("to", rule.to)
    if rule.action not in _EFFECTS:
        faults.append(InputError(ref, f"{path}.action", f"expected Accept, Deny or Pass, got {rule.action}"))
    peers: list[Peer] = []
    for index, item in enumerate(items):
        try:
            peers += _peers(item, ref, f"{path}.{name}[{index}]", ingress=ingress)
        except InputError as error:
            faults.append(error)
    if not items:
        faults.append(InputError(ref, f"{path}.{name}", "at least one peer is required"))
    if rule.protocols == ():
        faults.append(
            InputError(ref, f"{path}.protocols", "at least one is required; without the field it is every one")
        )
    ports: list[PortMatch] = [PortMatch()] if rule.protocols is None else []
    for index, protocol in enumerate(rule.protocols or ()):
        try:
            ports.append(_port(protocol, ref, f"{path}.protocols[{index}]"))
        except InputError as error:
            faults.append(error)
    if any(isinstance(peer, Block | Nodes) for peer in peers) and any(port.name for port in ports):
        faults.append(InputError(ref, f"{path}.protocols", "networks and nodes have no named ports: give numbers"))
    return PolicyRule(effect=_EFFECTS.get(rule.action, Effect.DENY), peers=tuple(peers), ports=tuple(ports))


def _peers(peer: PolicyPeer, ref: str, path: str, *, ingress: bool) -> list[Peer]:
    given = [one for one in (peer.namespaces, peer.pods, peer.networks or None, peer.nodes) if one is not None]
    if len(given) != 1:
        known = "namespaces and pods" if ingress else "namespaces, pods, networks and nodes"
        raise InputError(ref, path, f"exactly one of {known} is required, and nothing else is known")
    if (peer.networks or peer.nodes is not None) and ingress:
        raise InputError(ref, path, "networks and nodes are for egress only")
    if peer.nodes is not None:
        return [Nodes(nodes=Selector.of(peer.nodes))]
    if peer.networks:
        texts = enumerate(peer.networks)
        return [Block(prefix=parse_cidr(text, ref, f"{path}.networks[{index}]")) for index, text in texts]
    pods = _pods(peer)
    return [pods] if pods else []


def _pods(selection: PolicySubject | PolicyPeer) -> Pods | None:
    pods, namespaces = selection.pods, selection.namespaces
    if (pods is None) == (namespaces is None):
        return None
    chosen = pods or NamespacedPods(namespace_selector=namespaces or LabelSelector())
    return Pods(namespaces=Selector.of(chosen.namespace_selector), pods=Selector.of(chosen.pod_selector))


def _port(item: PolicyProtocol, ref: str, path: str) -> PortMatch:
    protocols = {"tcp": item.tcp, "udp": item.udp, "sctp": item.sctp}
    given = [(name, ports) for name, ports in protocols.items() if ports is not None]
    if len(given) + bool(item.destination_named_port) != 1:
        raise InputError(ref, path, "exactly one of tcp, udp, sctp and destinationNamedPort is required")
    if not given:
        return PortMatch(name=item.destination_named_port)
    name, ports = given[0]
    return PortMatch(protocol=name, range=_range(ports, ref, f"{path}.{name}.destinationPort"))


def _range(ports: ProtocolPorts, ref: str, path: str) -> tuple[int, int] | None:
    port = ports.destination_port
    if port is None:
        return None
    if (port.number is None) == (port.range is None):
        raise InputError(ref, path, "exactly one of number and range is required")
    low, high = (port.range.start, port.range.end) if port.range else (port.number or 0, port.number or 0)
    if not 1 <= low <= high <= HIGHEST_PORT:
        raise InputError(ref, path, f"expected ports from 1 to {HIGHEST_PORT}, got {low} to {high}")
    return low, high
