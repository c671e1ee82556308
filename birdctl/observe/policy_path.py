"""Why a connection is or is not allowed: what the objects say, and what the rules of the nodes on its way do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from birdctl.addresses import Address, family
from birdctl.cluster.clusterpolicy import ClusterNetworkPolicy
from birdctl.cluster.objects import NetworkPolicy, Node
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError, UnknownRule
from birdctl.netfilter import iptables_text
from birdctl.netfilter.model import Owner, Rule, Table
from birdctl.observe.ends import End, end
from birdctl.observe.views import Step, View
from birdctl.policies.compile.cluster import cluster_policy
from birdctl.policies.compile.network import network_policy
from birdctl.policies.compile.table import HOOKS
from birdctl.policies.model import Direction, PolicyState
from birdctl.policies.packet import Packet
from birdctl.policies.semantics import Judgement, judge
from birdctl.policies.simulate import Hit, Hook, Verdict, verdict
from birdctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A connection between two addresses of one family."""

    source: End
    destination: End
    packet: Packet

    def ends(self) -> tuple[tuple[Direction, End], ...]:
        """In the order in which they are judged."""
        return (Direction.EGRESS, self.source), (Direction.INGRESS, self.destination)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where policies restrict it: the nodes of its pods."""
        found = (each.node for _, each in self.ends() if each.node and not each.is_node)
        return tuple(dict.fromkeys(found))


class PolicyExplanation(View, frozen=True, kw_only=True):
    """Of one question. `policies` decided, by the objects; `agrees`: the rules that could be read do the same."""

    source: str
    destination: str
    source_address: str
    destination_address: str
    protocol: str
    port: int
    allowed: bool
    policies: tuple[str, ...] = ()
    would_deny: tuple[str, ...] = ()
    agrees: bool | None = None
    steps: tuple[Step, ...] = ()


def questions(source: End, destination: End, port: int, protocol: str) -> tuple[Question, ...]:
    """One for each pair of addresses of one family."""
    return tuple(
        Question(
            source=source,
            destination=destination,
            packet=Packet(source=one, destination=other, protocol=protocol.lower(), port=port),
        )
        for one in source.addresses
        for other in destination.addresses
        if one.version == other.version
    )


def explain(
    question: Question, cluster: Cluster, settings: Settings, states: dict[str, PolicyState | str]
) -> PolicyExplanation:
    """`states` has what is in the kernel of each node that could be asked, or why it cannot be read."""
    drop = settings.netpol_deny_action == "drop"
    judged = judge(cluster, question.packet, default_deny=settings.netpol_default_deny, drop=drop)
    sightings = [_sighting(question, judged, cluster, node, states.get(node)) for node in question.nodes]
    agreements = [each.agrees for each in sightings if each.agrees is not None]
    return PolicyExplanation(
        source=question.source.text,
        destination=question.destination.text,
        source_address=str(question.packet.source),
        destination_address=str(question.packet.destination),
        protocol=question.packet.protocol.upper(),
        port=question.packet.port,
        allowed=judged.allowed,
        policies=tuple(dict.fromkeys(ref for each in judged.why if each.allowed is not None for ref in each.policies)),
        would_deny=judged.would_deny,
        agrees=all(agreements) if agreements else None,
        steps=(
            *_by_objects(question, judged),
            *(Step(subject="error", text=str(each)) for each in _faults(cluster, judged)),
            *(step for each in sightings for step in each.steps),
        ),
    )


def _by_objects(question: Question, judged: Judgement) -> Iterator[Step]:
    refused = _refused(judged)
    for direction, which in question.ends():
        reasons = [each for each in judged.why if each.direction is direction]
        for each in reasons:
            text = f"{', '.join(each.policies)}: {each.text}" if each.policies else each.text
            yield Step(subject=direction.lower(), holds=each.allowed, text=text)
        if not reasons:
            itself = question.packet.source == question.packet.destination
            text = f"{which.text} always reaches itself" if itself else f"no policy restricts {which.text}"
            yield Step(subject=direction.lower(), holds=True, text=text)
        if refused is direction:
            break
    for policy in judged.would_deny:
        yield Step(subject="staged", text=f"{policy} would deny it")
    yield Step(subject="objects", holds=judged.allowed, text=_outcome(judged))


def _faults(cluster: Cluster, judged: Judgement) -> Iterator[InputError]:
    """What is wrong with the policies that had a say: they do not do what their authors meant."""
    for ref in dict.fromkeys(ref for each in judged.why for ref in each.policies):
        kind, _, key = ref.partition(" ")
        if error := cluster.errors.get((kind, key)):
            yield error
        elif network := cluster.get(NetworkPolicy, key) if kind == NetworkPolicy.__name__ else None:
            yield from network_policy(network).problems
        elif wide := cluster.get(ClusterNetworkPolicy, key) if kind == ClusterNetworkPolicy.__name__ else None:
            yield from cluster_policy(wide).problems


def _refused(judged: Judgement) -> Direction | None:
    """At which end, by the objects."""
    return None if judged.allowed else next(each.direction for each in judged.why if each.allowed is False)


def _outcome(judged: Judgement) -> str:
    if judged.allowed:
        return "allowed"
    return "refused without an answer" if judged.silent else "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighting:
    """What was seen on one node. `agrees` is None when there was nothing to compare."""

    steps: tuple[Step, ...]
    agrees: bool | None = None


def _sighting(
    question: Question, judged: Judgement, cluster: Cluster, node: str, state: PolicyState | str | None
) -> _Sighting:
    subject = f"rules on {node}"
    if state is None:
        return _Sighting(steps=(Step(subject=subject, text="not looked at: ask on that node, or with --lab"),))
    if isinstance(state, str):
        return _Sighting(steps=(Step(subject=subject, text=f"cannot be read: {state}"),))
    refused = _refused(judged)
    ends = dict(question.ends())
    if refused is Direction.EGRESS and ends[Direction.EGRESS].node != node:
        return _Sighting(steps=(Step(subject=subject, text="it never gets here"),))
    try:
        found = _simulated(question, cluster, node, state)
    except UnknownRule as error:
        return _Sighting(
            steps=(Step(subject=subject, holds=False, text=f"not what birdctl wrote: {error}"),), agrees=False
        )
    allowed = refused is None or ends[refused].node != node
    steps = [Step(subject=subject, text=_told(hit)) for hit in found.path if hit.rule.origins]
    last = found.path[-1] if found.path else None
    steps.append(Step(subject=subject, holds=found.allowed, text=_decision(found, last)))
    if passed := _passed_over(state.tables.get(family(question.packet.source))):
        steps.append(
            Step(subject=subject, holds=False, text=f"DISAGREE: birdctl's are not the first rules of {passed}")
        )
    if found.allowed is not allowed:
        says = "allow" if allowed else "refuse"
        steps.append(Step(subject=subject, holds=False, text=f"DISAGREE with the objects, which {says} it here"))
    return _Sighting(steps=tuple(steps), agrees=found.allowed is allowed and not passed)


def _simulated(question: Question, cluster: Cluster, node: str, state: PolicyState) -> Verdict:
    """What passes INPUT, to the node itself, meets no rule of ours."""
    to_itself = question.destination.is_node and question.destination.node == node
    which = family(question.packet.source)
    if to_itself or which not in state.tables:
        return Verdict(decision="accept", path=())
    from_itself = question.source.is_node and question.source.node == node
    hook: Hook = "OUTPUT" if from_itself else "FORWARD"
    return verdict(state, which, hook, question.packet, local=_own(cluster, node))


def _passed_over(table: Table | None) -> str:
    """The kernel's chains whose packets do not come to our rules first, though there are some."""
    if table is None or not table.chains:
        return ""
    return " and ".join(sorted({hook for hook, _ in HOOKS} - {hook for hook, _ in table.hooks}))


def _own(cluster: Cluster, name: str) -> Sequence[Address]:
    return end(cluster, f"node:{name}", name).addresses if cluster.get(Node, name) else ()


def _told(hit: Hit) -> str:
    effect = f"{hit.rule.effect} " if hit.rule.effect else ""
    return f"{effect}{', '.join(hit.rule.origins)}: {_conditions(hit.rule)} in {hit.chain}"


def _conditions(rule: Rule) -> str:
    """As iptables writes them."""
    return f" {iptables_text.rule(rule, Owner.POLICIES)}".partition(" -m comment ")[0].strip() or "everything"


def _decision(found: Verdict, last: Hit | None) -> str:
    if found.allowed:
        return "accept" if last else "accept: no rule of birdctl's concerns it"
    return f"{found.decision} in {last.chain}" if last else found.decision
