"""The policy compiler: from pods, namespaces and policies to the sets and rules of one node.

Pure: the same objects in any order give the same state. A compiler keeps what it found out only to make the next
compilation cost as much as the change; compiling everything afresh gives the same. Values that a change does not touch
(sets, chains) stay the same objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from birdctl.addresses import Address, Family, Prefix, sort_key
from birdctl.addresses import family as family_of
from birdctl.cluster.clusterpolicy import ClusterNetworkPolicy
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import pod_cidrs
from birdctl.cluster.objects import Namespace, NetworkPolicy, Node, Object, Pod
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.netfilter.model import IpSet, Table
from birdctl.policies.compile.classes import LocalPods, ProgrammedPolicy
from birdctl.policies.compile.directory import Change, Directory
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.matches import block_set
from birdctl.policies.compile.members import Members
from birdctl.policies.compile.nodes import node_set
from birdctl.policies.compile.peers import Block, Nodes, Pods
from birdctl.policies.compile.policies import Change as PolicyChange
from birdctl.policies.compile.policies import Policies
from birdctl.policies.compile.table import TableWriter
from birdctl.policies.model import PolicyState
from birdctl.policies.options import PolicyOptions

__all__ = ["KINDS", "PolicyCompiled", "PolicyCompiler", "ProgrammedPolicy"]

KINDS: tuple[type[Object], ...] = (Node, Namespace, Pod, NetworkPolicy, ClusterNetworkPolicy)
"""What policies are compiled from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCompiled:
    """The desired state, what could not be understood, and the policies at work here; both sorted.

    `gone` are addresses that were a pod's of this node at the last compilation, and are nobody's now.
    """

    state: PolicyState
    problems: tuple[InputError, ...]
    policies: tuple[ProgrammedPolicy, ...]
    gone: frozenset[Address]


class PolicyCompiler:
    """Compiles for one node; owned by one thread."""

    def __init__(self, node: str, options: PolicyOptions) -> None:
        self._node = node
        self._options = options
        enabled = {Family.IPV4: options.enable_ipv4, Family.IPV6: options.enable_ipv6}
        self._families = tuple(family for family in Family if enabled[family])
        self._forget()

    def _forget(self) -> None:
        fixed = Fixed(self._options)
        self._directory = Directory(self._node)
        self._policies = Policies()
        self._members = Members()
        self._pods = LocalPods(fixed, self._families)
        self._writers = {family: TableWriter(family, fixed) for family in self._families}
        self._tables: dict[Family, Table] = {}
        self._sets: dict[str, IpSet] = {}
        self._faults = Faults("")

    def compile(self, cluster: Cluster, *, dirty: Collection[Key] | None = None) -> PolicyCompiled:
        """The node's state. `dirty` are the keys changed since the last call, None for all."""
        if dirty is None:
            self._forget()
            dirty = _all_keys(cluster)
        changes = self._directory.update(cluster, dirty)
        self._members.update(changes)
        told = self._tell(changes, self._policies.update(cluster, dirty))
        if told or not self._tables or any(kind == Node.__name__ for kind, _ in dirty):
            self._write(cluster)
        problems = [*self._faults, *(each for policy in self._policies.faulty.values() for each in policy.problems)]
        return PolicyCompiled(
            state=self._state(),
            problems=tuple(sorted(problems, key=str)),
            policies=self._pods.programmed,
            gone=frozenset(
                address
                for before, _ in changes
                if before and before.local
                for address in before.addresses
                if not self._directory.knows(address)
            ),
        )

    def _tell(self, pods: Iterable[Change], policies: Iterable[PolicyChange]) -> bool:
        """Works out again what is said to the pods of this node that may be concerned. Whether that is news."""
        concerned = {each.key for change in pods for each in change if each and each.local}
        subjects = {policy.subject for change in policies for policy in change if policy}
        for key, pod in self._directory.local.items():
            if key not in concerned and any(subject.match(pod) for subject in subjects):
                concerned.add(key)
        local = {key: self._directory.local.get(key) for key in sorted(concerned)}
        return self._pods.put(
            {key: (pod, tuple(self._policies.selecting(pod)) if pod else ()) for key, pod in local.items()}
        )

    def _write(self, cluster: Cluster) -> None:
        """Tables, and the sets that only change with them."""
        closed = self._closed(cluster.get(Node, self._node))
        self._sets = self._peer_sets(cluster)
        for family in self._families:
            prefixes = [prefix for prefix in closed if family_of(prefix) is family]
            self._tables[family], sets = self._writers[family].table(self._pods.sides(family), prefixes)
            self._sets |= sets

    def _closed(self, node: Node | None) -> list[Prefix]:
        """Where addresses are closed until their pod is known; CIDRs that cannot be read are faults of the node."""
        self._faults = Faults(f"Node {self._node}")
        if node is None or not self._options.netpol_default_deny:
            return []
        return sorted(pod_cidrs(node, self._faults), key=sort_key)

    def _peer_sets(self, cluster: Cluster) -> dict[str, IpSet]:
        """Those that are not of pods; and the pods' are in use from now on."""
        peers = self._pods.peers()
        pods = {name: (family, peer) for name, (family, peer) in peers.items() if isinstance(peer, Pods)}
        self._members.use(pods, self._directory)
        found = {}
        for name, (family, peer) in peers.items():
            if isinstance(peer, Nodes):
                found[name] = node_set(peer, family, cluster)
            elif isinstance(peer, Block):
                found[name] = self._sets.get(name) or block_set(peer)
        return found

    def _state(self) -> PolicyState:
        return PolicyState(tables=dict(self._tables), sets={**self._sets, **self._members.sets()})


def _all_keys(cluster: Cluster) -> frozenset[Key]:
    present = ((type_.__name__, key) for type_ in KINDS for key in cluster.objects(type_))
    return frozenset((*present, *cluster.errors))
