"""The ends of a connection as a person names them (`namespace/pod`, `node:NAME`, an address), in the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from birdctl.addresses import Address, parse_address
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import pod_cidrs
from birdctl.cluster.objects import Node, Pod
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.policies import semantics

T = TypeVar("T")

_FINISHED = ("Succeeded", "Failed")
PROTOCOLS = ("TCP", "UDP", "SCTP")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """`node` is the one it is on, "" for an address outside of the cluster. `is_node`: it is the node itself, or a pod
    in its network; what leaves or enters a node itself, policies do not restrict.
    """

    text: str
    addresses: tuple[Address, ...]
    node: str = ""
    is_node: bool = False


def end(cluster: Cluster, text: str, origin: str) -> End:
    """The end that `text` names. Raises InputError, for the argument `origin`, when there is none such."""
    if text.startswith("node:"):
        return _node_end(_found(cluster.get(Node, text[5:]), text, origin), text)
    if "/" in text:
        return _pod_end(cluster, _found(cluster.get(Pod, text), text, origin), text, origin)
    try:
        address = parse_address(text)
    except ValueError:
        raise InputError(origin, "", f"{text!r} is neither NAMESPACE/POD, node:NAME nor an address") from None
    return _address_end(cluster, address)


def _found(item: T | None, text: str, origin: str) -> T:
    if item is None:
        raise InputError(origin, "", f"there is no {text}")
    return item


def _node_end(node: Node, text: str) -> End:
    addresses = _readable(each.address for each in node.status.addresses if each.type.endswith("IP"))
    return End(text=text, addresses=addresses, node=node.name, is_node=True)


def _pod_end(cluster: Cluster, pod: Pod, text: str, origin: str) -> End:
    if pod.spec.host_network:
        node = cluster.get(Node, pod.spec.node_name)
        return _node_end(_found(node, f"node {pod.spec.node_name!r}, which {text} is on", origin), text)
    addresses = _pod_addresses(pod)
    if not addresses:
        raise InputError(origin, "", f"{text} has no address: it has not started, or is over")
    return End(text=text, addresses=addresses, node=pod.spec.node_name)


def _address_end(cluster: Cluster, address: Address) -> End:
    """Whoever has the address; one of a node's pod CIDRs belongs there, even if no pod is known."""
    if pod := semantics.pod_at(cluster, address):
        return End(text=f"{address} ({pod.key})", addresses=(address,), node=pod.spec.node_name)
    for node in cluster.objects(Node).values():
        if address in _node_end(node, "").addresses:
            return End(text=f"{address} (node:{node.name})", addresses=(address,), node=node.name, is_node=True)
        if any(address in prefix for prefix in pod_cidrs(node, Faults(node.ref))):
            return End(text=f"{address} (of no known pod)", addresses=(address,), node=node.name)
    return End(text=str(address), addresses=(address,))


def _pod_addresses(pod: Pod) -> tuple[Address, ...]:
    if pod.status.phase in _FINISHED:
        return ()
    return _readable((pod.status.pod_ip, *(each.ip for each in pod.status.pod_ips)))


def _readable(texts: Iterable[str]) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for text in texts:
        try:
            found[parse_address(text)] = None
        except ValueError:
            continue
    return tuple(found)


def port(cluster: Cluster, text: str, destination: str) -> tuple[int, str]:
    """Number and protocol (TCP, UDP, SCTP) of `PORT[/PROTO]`; a name is looked up in the pod `destination`.

    Raises InputError.
    """
    name, _, given = text.partition("/")
    protocol = given.upper() or PROTOCOLS[0]
    if protocol not in PROTOCOLS:
        raise InputError("PORT", "", f"expected {', '.join(PROTOCOLS)} behind the slash, got {given!r}")
    number = int(name) if name.isdecimal() else _named(cluster.get(Pod, destination), name, protocol)
    if not 1 <= number <= _HIGHEST_PORT:
        raise InputError("PORT", "", f"{name!r} is neither 1 to {_HIGHEST_PORT} nor a {protocol} port of {destination}")
    return number, protocol


def _named(pod: Pod | None, name: str, protocol: str) -> int:
    """0 for none."""
    ports = (each for container in pod.spec.running_containers for each in container.ports) if pod else ()
    return next((each.container_port for each in ports if (each.name, each.protocol) == (name, protocol)), 0)
