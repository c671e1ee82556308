"""Kubernetes' own objects, frozen, with only the fields in use.

Fields that Kubernetes has and birdctl does not read are ignored. Names follow the API (snake_case here, camelCase on
the wire). Absent lists are empty, absent texts are "", absent optional values are None where the API tells absent from
empty.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

Labels = dict[str, str]


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of every decoded value."""


class Exact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that would mean something else without a field that is not known: a policy that allows more."""


class ObjectMeta(Struct, frozen=True, kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: Labels = {}
    annotations: Labels = {}
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


class Object(Struct, frozen=True, kw_only=True):
    """Any cluster object. `kind` is fixed by the class; `ref` names it to a person: "Service default/web".

    `api_version`, `plural` and `namespaced` are where the API serves the kind.
    """

    api_version: ClassVar[str] = "v1"
    plural: ClassVar[str] = ""
    namespaced: ClassVar[bool] = False

    metadata: ObjectMeta

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for a cluster-scoped object: unique within its kind."""
        return f"{self.metadata.namespace}/{self.metadata.name}" if self.metadata.namespace else self.metadata.name

    @property
    def ref(self) -> str:
        return f"{self.kind} {self.key}"


class LabelSelectorRequirement(Exact, frozen=True, kw_only=True):
    """Raises ValueError when `values` do not go with `operator`."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.operator in ("In", "NotIn")) is not bool(self.values):
            raise ValueError(f"{'no ' * bool(self.values)}values are expected for {self.operator}")


class LabelSelector(Exact, frozen=True, kw_only=True):
    """metav1.LabelSelector: all requirements hold; an empty selector matches everything."""

    match_labels: Labels = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _requirement_holds(requirement, labels) for requirement in self.match_expressions
        )


def _requirement_holds(requirement: LabelSelectorRequirement, labels: Labels) -> bool:
    present = requirement.key in labels
    match requirement.operator:
        case "In":
            return present and labels[requirement.key] in requirement.values
        case "NotIn":
            return not present or labels[requirement.key] not in requirement.values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present


class NodeAddress(Struct, frozen=True, kw_only=True):
    type: str
    address: str


class Condition(Struct, frozen=True, kw_only=True):
    type: str
    status: str
    last_transition_time: str = ""


class NodeSpec(
    Struct, frozen=True, kw_only=True, rename={"pod_cidr": "podCIDR", "pod_cidrs": "podCIDRs"}, omit_defaults=True
):
    pod_cidr: str = ""
    pod_cidrs: tuple[str, ...] = ()


class NodeStatus(Struct, frozen=True, kw_only=True):
    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Node(Object, frozen=True, kw_only=True):
    plural: ClassVar[str] = "nodes"

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Namespace(Object, frozen=True, kw_only=True):
    """Only its labels matter."""

    plural: ClassVar[str] = "namespaces"


class ContainerPort(Struct, frozen=True, kw_only=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Container(Struct, frozen=True, kw_only=True):
    """`restart_policy` Always makes an init container a sidecar, which runs as long as the pod."""

    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""


class PodSpec(Struct, frozen=True, kw_only=True):
    node_name: str = ""
    host_network: bool = False
    termination_grace_period_seconds: int = 30
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()

    @property
    def running_containers(self) -> tuple[Container, ...]:
        """Those that run while the pod runs."""
        return (*self.containers, *(each for each in self.init_containers if each.restart_policy == "Always"))


class PodIP(Struct, frozen=True, kw_only=True):
    ip: str


class PodStatus(Struct, frozen=True, kw_only=True, rename={"pod_ip": "podIP", "pod_ips": "podIPs"}, omit_defaults=True):
    phase: str = ""
    pod_ip: str = ""
    pod_ips: tuple[PodIP, ...] = ()


class Pod(Object, frozen=True, kw_only=True):
    plural: ClassVar[str] = "pods"
    namespaced: ClassVar[bool] = True

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def grace_period_seconds(self) -> int:
        """How long it may take to end: what whoever deleted it said, or its own."""
        asked = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if asked is None else asked


class ServicePort(Struct, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    node_port: int = 0


class ClientIPConfig(Struct, frozen=True, kw_only=True):
    timeout_seconds: int = 10800


class SessionAffinityConfig(Struct, frozen=True, kw_only=True, rename={"client_ip": "clientIP"}, omit_defaults=True):
    client_ip: ClientIPConfig = ClientIPConfig()


class ServiceSpec(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "cluster_ip": "clusterIP",
        "cluster_ips": "clusterIPs",
        "external_ips": "externalIPs",
        "external_traffic_policy": "externalTrafficPolicy",
        "health_check_node_port": "healthCheckNodePort",
        "internal_traffic_policy": "internalTrafficPolicy",
        "ip_families": "ipFamilies",
        "ip_family_policy": "ipFamilyPolicy",
        "load_balancer_class": "loadBalancerClass",
        "load_balancer_ip": "loadBalancerIP",
        "load_balancer_source_ranges": "loadBalancerSourceRanges",
        "publish_not_ready_addresses": "publishNotReadyAddresses",
        "session_affinity": "sessionAffinity",
        "session_affinity_config": "sessionAffinityConfig",
        "traffic_distribution": "trafficDistribution",
    },
    omit_defaults=True,
):
    type: str = "ClusterIP"
    cluster_ip: str = ""
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_traffic_policy: str = "Cluster"
    internal_traffic_policy: str = "Cluster"
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    load_balancer_class: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    load_balancer_ip: str = ""
    publish_not_ready_addresses: bool = False
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig = SessionAffinityConfig()
    health_check_node_port: int = 0
    traffic_distribution: str = ""


class LoadBalancerIngress(Struct, frozen=True, kw_only=True, rename={"ip_mode": "ipMode"}, omit_defaults=True):
    ip: str = ""
    hostname: str = ""
    ip_mode: str = "VIP"


class LoadBalancerStatus(Struct, frozen=True, kw_only=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Struct, frozen=True, kw_only=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Object, frozen=True, kw_only=True):
    plural: ClassVar[str] = "services"
    namespaced: ClassVar[bool] = True

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(Struct, frozen=True, kw_only=True):
    """nil `ready` means true, nil `serving` means `ready`, nil `terminating` means false (discovery.k8s.io/v1)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None

    @property
    def is_ready(self) -> bool:
        return self.ready is None or self.ready

    @property
    def is_serving(self) -> bool:
        return self.is_ready if self.serving is None else self.serving

    @property
    def is_terminating(self) -> bool:
        return bool(self.terminating)


class Hint(Struct, frozen=True, kw_only=True):
    """A node or a zone that an endpoint is meant for."""

    name: str


class EndpointHints(Struct, frozen=True, kw_only=True):
    for_zones: tuple[Hint, ...] = ()
    for_nodes: tuple[Hint, ...] = ()


class ObjectReference(Struct, frozen=True, kw_only=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class Endpoint(Struct, frozen=True, kw_only=True):
    """`target_ref` is the Pod behind it, if there is one."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str = ""
    zone: str = ""
    hints: EndpointHints = EndpointHints()
    target_ref: ObjectReference | None = None


class EndpointPort(Struct, frozen=True, kw_only=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"


class EndpointSlice(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = "discovery.k8s.io/v1"
    plural: ClassVar[str] = "endpointslices"
    namespaced: ClassVar[bool] = True

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service_key(self) -> str:
        """`namespace/name` of the Service it belongs to ("" when the label is missing)."""
        service = self.metadata.labels.get("kubernetes.io/service-name", "")
        return f"{self.namespace}/{service}" if service else ""


class NetworkPolicyPort(Exact, frozen=True, kw_only=True):
    """`port` is a number, a container port's name, or None for all; `end_port` makes a range of numbers."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IPBlock(Exact, frozen=True, kw_only=True, rename={"except_": "except"}):
    cidr: str
    except_: tuple[str, ...] = ()


class NetworkPolicyPeer(Exact, frozen=True, kw_only=True):
    """Either an `ip_block`, or pods by their own labels and their namespace's (None: the policy's own namespace)."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyIngressRule(Exact, frozen=True, kw_only=True, rename={"from_": "from"}):
    from_: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicyEgressRule(Exact, frozen=True, kw_only=True):
    to: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(Exact, frozen=True, kw_only=True):
    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[Literal["Ingress", "Egress"], ...] = ()
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()


class NetworkPolicy(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = "networking.k8s.io/v1"
    plural: ClassVar[str] = "networkpolicies"
    namespaced: ClassVar[bool] = True

    spec: NetworkPolicySpec = NetworkPolicySpec()


class Secret(Object, frozen=True, kw_only=True):
    """`data` is base64; `string_data` is plain and write-only, decoding merges it into `data`. Neither is in a repr."""

    plural: ClassVar[str] = "secrets"
    namespaced: ClassVar[bool] = True

    data: dict[str, str] = {}
    string_data: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<{self.ref} ***>"
