"""A packet's way through the nodes of a cluster: their compiled rules, hook by hook."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from birdctl.addresses import family
from birdctl.cluster.objects import Node, Pod
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from birdctl.policies.semantics import judge
from birdctl.policies.simulate import verdict


def addresses(node):
    return {item.address for item in node.status.addresses}


def places(cluster):
    """The node of each running pod's own address: of the first one by name of those that stay."""
    running = [
        pod
        for pod in cluster.objects(Pod).values()
        if not pod.spec.host_network and pod.status.phase not in ("Succeeded", "Failed")
    ]
    owners_last = sorted(running, key=lambda pod: (pod.metadata.deletion_timestamp, pod.key), reverse=True)
    return {item.ip: pod.spec.node_name for pod in owners_last for item in pod.status.pod_ips}


class Network:
    """Every node of `cluster` with its rules."""

    def __init__(self, cluster, **options):
        self.cluster = cluster
        self.nodes = cluster.objects(Node)
        self.options = PolicyOptions(**options)
        self.compiled = {name: PolicyCompiler(name, self.options).compile(cluster) for name in self.nodes}
        self.pods = places(cluster)
        self.prefixes = [
            (prefix, name) for name, node in self.nodes.items() for prefix in map(ip_network, node.spec.pod_cidrs)
        ]

    def place(self, address):
        """The node that has the address, or leads to it."""
        owner = next((name for name, node in self.nodes.items() if str(address) in addresses(node)), None)
        if owner or str(address) in self.pods:
            return owner or self.pods[str(address)]
        return next((name for prefix, name in self.prefixes if address in prefix), None)

    def is_node(self, address):
        return any(str(address) in addresses(node) for node in self.nodes.values())

    def verdicts(self, packet):
        """Of every node the packet passes, until one refuses it."""
        first, last = self.place(packet.source), self.place(packet.destination)
        for name in dict.fromkeys((first, last)):
            if name is None or (name == last and self.is_node(packet.destination)):
                continue
            hook = "OUTPUT" if name == first and self.is_node(packet.source) else "FORWARD"
            local = {ip_address(text) for text in addresses(self.nodes[name])}
            found = verdict(self.compiled[name].state, family(packet.destination), hook, packet, local=local)
            yield found
            if not found.allowed:
                return

    def allows(self, packet):
        """Whether it arrives; fails if the rules and the objects do not say the same."""
        allowed = all(verdict.allowed for verdict in self.verdicts(packet))
        assert judge(self.cluster, packet, default_deny=self.options.netpol_default_deny).allowed is allowed
        return allowed

    def refusal(self, packet):
        """reject or drop, None if it arrives."""
        return next((verdict.decision for verdict in self.verdicts(packet) if not verdict.allowed), None)

    def would_deny(self, packet):
        return [policy for verdict in self.verdicts(packet) for policy in verdict.would_deny]
