"""From NetworkPolicy to rules. What an API server would refuse is an error, and the policy then allows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from birdctl.addresses import Prefix
from birdctl.cluster.objects import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
)
from birdctl.errors import InputError
from birdctl.netfilter.model import Effect
from birdctl.policies.compile.cidrs import parse_cidr
from birdctl.policies.compile.peers import Block, Peer, Pods, Selector
from birdctl.policies.compile.rules import HIGHEST_PORT, PROTOCOLS, Policy, PolicyRule, PortMatch
from birdctl.policies.model import Direction

STAGED = "birdctl.io/staged"
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def network_policy(policy: NetworkPolicy) -> Policy:
    """What it says. With an error anywhere, it selects its pods and allows nothing."""
    spec = policy.spec
    problems: list[InputError] = []
    rules: dict[Direction, tuple[PolicyRule, ...]] = {}
    sources: tuple[tuple[Direction, str, tuple[NetworkPolicyIngressRule | NetworkPolicyEgressRule, ...]], ...] = (
        (Direction.INGRESS, "ingress", spec.ingress),
        (Direction.EGRESS, "egress", spec.egress),
    )
    for direction, name, items in sources:
        found = tuple(_rule(item, policy, f"spec.{name}[{index}]", problems) for index, item in enumerate(items))
        if direction in spec.policy_types:
            rules[direction] = found
    if problems:
        rules = dict.fromkeys(rules, ())
    return Policy(
        ref=policy.ref,
        key=policy.key,
        kind=policy.kind,
        subject=Pods(namespace=policy.namespace, pods=Selector.of(spec.pod_selector)),
        rules=rules,
        staged=policy.metadata.annotations.get(STAGED) == "true",
        problems=tuple(problems),
    )


def _rule(
    rule: NetworkPolicyIngressRule | NetworkPolicyEgressRule,
    policy: NetworkPolicy,
    path: str,
    problems: list[InputError],
) -> PolicyRule:
    name, peers = ("from", rule.from_) if isinstance(rule, NetworkPolicyIngressRule) else ("to", rule.to)
    found: list[Peer | None] = []
    for index, peer in enumerate(peers):
        try:
            found.append(_peer(peer, policy, f"{path}.{name}[{index}]"))
        except InputError as error:
            problems.append(error)
    ports: list[PortMatch] = []
    for index, port in enumerate(rule.ports):
        errors = [InputError(policy.ref, f"{path}.ports[{index}].{at}", what) for at, what in _port_problems(port)]
        problems += errors
        ports += [] if errors else [_port(port)]
    return PolicyRule(effect=Effect.ALLOW, peers=tuple(found) or (None,), ports=tuple(ports) or (PortMatch(),))


def _peer(peer: NetworkPolicyPeer, policy: NetworkPolicy, path: str) -> Peer:
    if peer.ip_block is not None:
        if peer.pod_selector is not None or peer.namespace_selector is not None:
            raise InputError(policy.ref, path, "ipBlock cannot stand beside podSelector or namespaceSelector")
        return _block(peer.ip_block, policy.ref, f"{path}.ipBlock")
    pods = Selector.of(peer.pod_selector) if peer.pod_selector else Selector()
    if peer.namespace_selector is not None:
        return Pods(namespaces=Selector.of(peer.namespace_selector), pods=pods)
    if peer.pod_selector is None:
        raise InputError(policy.ref, path, "one of podSelector, namespaceSelector and ipBlock is required")
    return Pods(namespace=policy.namespace, pods=pods)


def _block(block: IPBlock, ref: str, path: str) -> Block:
    prefix = parse_cidr(block.cidr, ref, f"{path}.cidr")
    excepts = [
        _part(parse_cidr(text, ref, f"{path}.except[{index}]"), prefix, ref, f"{path}.except[{index}]")
        for index, text in enumerate(block.except_)
    ]
    return Block(prefix=prefix, excepts=tuple(sorted(set(excepts))))


def _part(part: Prefix, prefix: Prefix, ref: str, path: str) -> Prefix:
    if part.version != prefix.version or part == prefix or not part.subnet_of(prefix):  # type: ignore[arg-type]
        raise InputError(ref, path, f"{part} must be a part of {prefix}")
    return part


def _port(port: NetworkPolicyPort) -> PortMatch:
    protocol = PROTOCOLS[port.protocol]
    if port.port is None:
        return PortMatch(protocol=protocol)
    if isinstance(port.port, str):
        return PortMatch(protocol=protocol, name=port.port)
    return PortMatch(protocol=protocol, range=(port.port, port.end_port or port.port))


def _port_problems(port: NetworkPolicyPort) -> Iterator[tuple[str, str]]:
    """Field and problem, as validation of networking.k8s.io/v1 finds them."""
    if port.protocol not in PROTOCOLS:
        yield "protocol", f"expected TCP, UDP or SCTP, got {port.protocol!r}"
    if isinstance(port.port, str) and not _PORT_NAME.fullmatch(port.port):
        number = port.port.isdecimal()
        remedy = "write the number without quotes" if number else "expected up to 15 of a-z, 0-9 and -, with a letter"
        yield "port", f"{port.port!r} is not a port name: {remedy}"
    if isinstance(port.port, int) and not 1 <= port.port <= HIGHEST_PORT:
        yield "port", f"expected 1 to {HIGHEST_PORT}, got {port.port}"
    if port.end_port is not None:
        if not isinstance(port.port, int):
            yield "endPort", "needs a port, and that as a number"
        elif not port.port <= port.end_port <= HIGHEST_PORT:
            yield "endPort", f"expected {port.port} to {HIGHEST_PORT}, got {port.end_port}"
