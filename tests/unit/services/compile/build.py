"""Services in a few words, as documents of the API that are decoded as a manifest is.

service("web", ports=["http:80"], node_ports=[30080]), endpoints("web", "10.1.1.2", "10.1.2.2 on=n2 serving")
`compiled(...)` is what node `n1` makes of them, beside two nodes with pods in 10.1.1.0/24 and 10.1.2.0/24.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from birdctl.cluster.decode import decode
from birdctl.cluster.store import Cluster
from birdctl.services.compile import ServiceCompiler
from birdctl.services.model import Port, Protocol
from birdctl.services.options import ServiceOptions

RANGES = {
    "service_cluster_ip_range": ("10.96.0.0/12", "fd00:96::/112"),
    "service_external_ip_range": ("198.51.100.0/24", "2001:db8:e::/64"),
    "loadbalancer_ip_range": ("192.0.2.0/24", "2001:db8:b::/64"),
    "excluded_cidrs": (),
}


def _object(api_version, kind, name, spec=None, *, status=None, labels=None, annotations=None, **fields):
    annotations = {key if "/" in key else f"birdctl.io/{key}": value for key, value in (annotations or {}).items()}
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations}
    document = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
    return decode({**document, **({"spec": spec} if spec else {}), **({"status": status} if status else {})})


def node(name, *addresses, pods=(), zone="", external=(), annotations=None):
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    entries = [
        *({"type": "ExternalIP", "address": address} for address in external),
        *({"type": "InternalIP", "address": address} for address in addresses),
    ]
    spec, status = {"podCIDRs": list(pods)}, {"addresses": entries}
    return _object("v1", "Node", name, spec, status=status, labels=labels, annotations=annotations)


N1 = node("n1", "172.16.0.1", "fd00:16::1", pods=["10.1.1.0/24", "fd00:1:1::/64"], zone="a")
N2 = node("n2", "172.16.0.2", "fd00:16::2", pods=["10.1.2.0/24", "fd00:1:2::/64"], zone="b")


def service(
    name="web",
    cluster=("10.96.0.1",),
    *,
    ports=("http:80",),
    ingress=(),
    annotations=None,
    labels=None,
    node_ports=(),
    **spec,
):
    """`ports` as `name:80` or `dns:53/UDP`, or documents; with `ingress` of type LoadBalancer; `spec` as in the API."""
    entries = [_port(each) if isinstance(each, str) else each for each in ports]
    for entry, number in zip(entries, node_ports, strict=False):
        entry["nodePort"] = number
    spec = {
        "clusterIPs": list(cluster),
        "ports": entries,
        "type": "LoadBalancer" if ingress else "NodePort" if node_ports else "ClusterIP",
        **spec,
    }
    status = {"loadBalancer": {"ingress": [{"ip": each} if isinstance(each, str) else each for each in ingress]}}
    return _object("v1", "Service", name, spec, status=status, labels=labels, annotations=annotations)


def endpoints(service_name="web", *texts, ports=("http:8080",), name="", family=None, labels=None):
    """A slice; texts as `10.1.2.2 on=n2 serving zones=a,b nodes=n1 in=a pod=x`, else ready and on n1."""
    entries = [_endpoint(text) for text in texts]
    return _object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        name or f"{service_name}-1",
        labels={"kubernetes.io/service-name": service_name, **(labels or {})},
        addressType=family or ("IPv6" if any(":" in text.split()[0] for text in texts) else "IPv4"),
        endpoints=entries,
        ports=[_port(each) if isinstance(each, str) else each for each in ports],
    )


def pod(name, grace=30, asked=None):
    """`asked`: the seconds that whoever deleted it allows."""
    made = _object("v1", "Pod", name, {"terminationGracePeriodSeconds": grace})
    return replace(made, metadata=replace(made.metadata, deletion_grace_period_seconds=asked))


def pool(name, *ranges):
    return _object("birdctl.io/v1alpha1", "AddressPool", name, {"ranges": list(ranges)})


def compiler(on="n1", **options):
    prefixes = {key: tuple(map(ip_network, value)) for key, value in {**RANGES, **options}.items() if key in RANGES}
    return ServiceCompiler(on, ServiceOptions(**{**options, **prefixes}))


def compiled(*objects, on="n1", local=(), nodes=(N1, N2), **options):
    """What node `on` makes of these objects; `options` are settings."""
    local = [ip_address(each) for each in local]
    return compiler(on, **options).compile(Cluster.of(*nodes, *objects), local=local)


def served(result):
    """`address port/protocol` to its real servers, those with weight 0 in brackets."""
    return {
        text(server.owner): [
            f"{each.address}:{each.port}" if each.weight else f"({each.address}:{each.port})"
            for each in server.real_servers
        ]
        for server in result.state.virtual_servers.values()
    }


def only(result):
    """The one virtual server."""
    (server,) = result.state.virtual_servers.values()
    return server


def text(port):
    return f"{port.address} {port.port}/{port.protocol}"


def texts(ports):
    return sorted(map(text, ports))


def port(address, number, protocol="TCP"):
    return Port(address=ip_address(address), protocol=Protocol(protocol), port=number)


def problems(result):
    return [str(problem) for problem in result.problems]


def reasons(result, service_name="web"):
    return [f"{each.what}: {each.reason}" for each in result.services[f"default/{service_name}"].omitted]


def _port(words):
    """`http:80`, `:80` without a name, `dns:53/UDP`."""
    name, _, rest = words.partition(":")
    number, _, protocol = rest.partition("/")
    return {"port": int(number), **({"name": name} if name else {}), **({"protocol": protocol} if protocol else {})}


CONDITIONS = {
    "nil": {},
    "ready": {"ready": True},
    "unready": {"ready": False},
    "serving": {"ready": False, "serving": True, "terminating": True},
    "ending": {"ready": False, "serving": False, "terminating": True},
}


def _endpoint(words):
    address, *rest = words.split()
    found = {"addresses": [address], "conditions": CONDITIONS["ready"], "nodeName": "n1", "hints": {}}
    for word in rest:
        key, _, value = word.partition("=")
        match key:
            case "zones" | "nodes":
                hints = [{"name": each} for each in value.split(",")]
                found["hints"]["forZones" if key == "zones" else "forNodes"] = hints
            case "pod":
                found["targetRef"] = {"kind": "Pod", "name": value, "namespace": "default"}
            case "in":
                found["zone"] = value
            case "on":
                found["nodeName"] = value
            case _:
                found["conditions"] = CONDITIONS[word]
    return found
