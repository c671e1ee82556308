"""ClusterNetworkPolicy of sigs.k8s.io/network-policy-api (policy.networking.k8s.io/v1alpha2).

Actions, peers and protocols decode whatever they say: what birdctl does not know is left to the compiler, whose rules
fail closed (an Accept matches nothing, anything else denies everything).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from birdctl.cluster.objects import Exact, LabelSelector, Object, Struct


class NamespacedPods(Exact, frozen=True, kw_only=True):
    """Pods by their namespace's labels and their own."""

    namespace_selector: LabelSelector = LabelSelector()
    pod_selector: LabelSelector = LabelSelector()


class PolicySubject(Struct, frozen=True, kw_only=True):
    """Exactly one is given: all pods of these namespaces, or these pods."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None


class PolicyPeer(Struct, frozen=True, kw_only=True):
    """Exactly one is given; `networks` (CIDRs) and `nodes` only for egress."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None
    networks: tuple[str, ...] = ()
    nodes: LabelSelector | None = None


class PortRange(Exact, frozen=True, kw_only=True):
    start: int
    end: int


class DestinationPort(Exact, frozen=True, kw_only=True):
    """A number or a range."""

    number: int | None = None
    range: PortRange | None = None


class ProtocolPorts(Exact, frozen=True, kw_only=True):
    """Without `destination_port` the whole protocol."""

    destination_port: DestinationPort | None = None


class PolicyProtocol(Struct, frozen=True, kw_only=True):
    """Exactly one is given."""

    tcp: ProtocolPorts | None = None
    udp: ProtocolPorts | None = None
    sctp: ProtocolPorts | None = None
    destination_named_port: str = ""


class ClusterIngressRule(Exact, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`action` is Accept, Deny or Pass; `protocols` None is everything."""

    action: str
    from_: tuple[PolicyPeer, ...] = ()
    name: str = ""
    protocols: tuple[PolicyProtocol, ...] | None = None


class ClusterEgressRule(Exact, frozen=True, kw_only=True):
    """`action` is Accept, Deny or Pass; `protocols` None is everything."""

    action: str
    to: tuple[PolicyPeer, ...] = ()
    name: str = ""
    protocols: tuple[PolicyProtocol, ...] | None = None


class ClusterNetworkPolicySpec(Struct, frozen=True, kw_only=True):
    """Lower `priority` (0 to 1000) comes first."""

    tier: Literal["Admin", "Baseline"]
    priority: int
    subject: PolicySubject
    ingress: tuple[ClusterIngressRule, ...] = ()
    egress: tuple[ClusterEgressRule, ...] = ()


class ClusterNetworkPolicy(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = "policy.networking.k8s.io/v1alpha2"
    plural: ClassVar[str] = "clusternetworkpolicies"

    spec: ClusterNetworkPolicySpec
