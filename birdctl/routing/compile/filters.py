"""What every session lets in and out.

Between nodes: in comes all but what this node itself originates, out go its pod CIDRs and what external peers taught
it. External: nothing that no term names, in either direction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from birdctl.addresses import Family, Prefix, family, parse_prefix, sort_key
from birdctl.routing.compile.advertisements import DEFAULTS, Advertisement, Class, united
from birdctl.routing.compile.book import Placed, describe, protocol_name
from birdctl.routing.compile.names import digit
from birdctl.routing.compile.peers import External
from birdctl.routing.model import Attributes, Filter, PrefixPattern, PrefixSet, Term

_DEFAULT_ROUTES = {Family.IPV4: parse_prefix("0.0.0.0/0"), Family.IPV6: parse_prefix("::/0")}


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What is not imported. `own` are this node's pod CIDRs, `pods` those of all nodes, `services` the ranges our own
    service addresses come from, `rejected` what the node's annotation refuses from everybody.
    """

    own: tuple[Prefix, ...]
    pods: tuple[Prefix, ...]
    services: tuple[Prefix, ...]
    rejected: tuple[Prefix, ...]


def pods_protocol(each: Family) -> str:
    return f"pods{digit(each)}"


def prefix_sets(each: Family, guards: Guards) -> Iterator[PrefixSet]:
    """What filters of one family refuse in common."""
    rejected = _rejected(each, guards)
    if rejected:
        yield PrefixSet(
            name=_rejected_name(each), family=each, patterns=rejected, comment="customimportreject of the node"
        )
    yield PrefixSet(
        name=_guarded_name(each),
        family=each,
        patterns=_guarded(each, guards),
        comment="Default route, service ranges, inside pod CIDRs: from outside only when asked for by name",
    )


def between_nodes(each: Family, guards: Guards) -> tuple[Filter, Filter]:
    """The two filters that all sessions between nodes share."""
    terms_in = (
        *_reject(_rejected(each, guards), "customimportreject", _rejected_name(each)),
        *_reject(_of(each, _inside(guards.own)), "own pod CIDRs"),
        *_reject(_of(each, _inside(guards.services)), "service ranges"),
    )
    terms_out = (
        Term(accept=True, protocols=(pods_protocol(each),), comment="own pod CIDRs"),
        Term(accept=True, sources=("RTS_BGP",), comment="learned from external peers"),
    )
    return (
        Filter(name=f"mesh_in{digit(each)}", family=each, terms=terms_in, accept_rest=True, origin="From other nodes"),
        Filter(name=f"mesh_out{digit(each)}", family=each, terms=terms_out, origin="To other nodes"),
    )


def import_filters(external: External, sets: Mapping[str, PrefixSet]) -> Iterator[Filter]:
    """`sets` are those of `prefix_sets`, by name."""
    for channel in external.session.channels:
        terms = _import_terms(channel.family, external.peer.allow, sets)
        origin = external.peer.origin
        yield Filter(name=channel.import_filter, family=channel.family, terms=terms, origin=origin)


def export_filters(
    external: External,
    policy: Attributes,
    advertisements: Mapping[str, Advertisement],
    classes: Collection[Placed],
) -> Iterator[Filter]:
    """`policy` is what everything to external peers gets, `classes` are those with prefixes.

    A class of one rule has its term even before it has a prefix, so that its first service changes no filter.
    """
    always = {frozenset({DEFAULTS}), *(frozenset({name}) for name in advertisements)}
    for channel in external.session.channels:
        present = always | {rules for rules, each in classes if each is channel.family}
        terms = [
            term
            for rules in sorted(present, key=sorted)
            for term in _service_term(external, rules, channel.family, policy, advertisements)
        ]
        if external.peer.export_pods:
            attributes = _outgoing(external, policy, ())
            protocol = pods_protocol(channel.family)
            terms.append(Term(accept=True, protocols=(protocol,), attributes=attributes, comment="own pod CIDRs"))
        yield Filter(name=channel.export_filter, family=channel.family, terms=tuple(terms), origin=external.peer.origin)


def _service_term(
    external: External,
    rules: Class,
    each: Family,
    policy: Attributes,
    advertisements: Mapping[str, Advertisement],
) -> Iterator[Term]:
    """The term of one class, unless none of its rules goes to this peer."""
    asking = [advertisements[name] for name in sorted(rules - {DEFAULTS})]
    going = [rule for rule in asking if rule.goes_to(external.peer.name)]
    if going or DEFAULTS in rules:
        yield Term(
            accept=True,
            protocols=(protocol_name(rules, each),),
            attributes=_outgoing(external, policy, going),
            comment=", ".join(describe(rules)),
        )


def _outgoing(external: External, policy: Attributes, rules: Sequence[Advertisement]) -> Attributes:
    """The attributes of the cluster, the node, the peer and the rules together. An ASN is only prepended for another
    AS, a local preference only given within our own.
    """
    peer, asked = external.peer, united(rules)
    every = (policy, peer.attributes, asked.attributes)
    local_asn = external.session.local_asn
    return Attributes(
        communities=tuple(sorted({item for each in every for item in each.communities})),
        large_communities=tuple(sorted({item for each in every for item in each.large_communities})),
        med=peer.attributes.med if asked.attributes.med is None else asked.attributes.med,
        local_pref=asked.attributes.local_pref if external.is_internal else None,
        prepend=() if external.is_internal else (local_asn,) * (peer.prepend + asked.prepend) + policy.prepend,
    )


def _import_terms(each: Family, allow: Iterable[PrefixPattern], sets: Mapping[str, PrefixSet]) -> tuple[Term, ...]:
    """Refused unless asked for: an entry that itself names a guarded prefix is the asking."""
    allowed = [pattern for pattern in allow if family(pattern.prefix) is each]
    if not allowed:
        return ()
    rejected, guarded = sets.get(_rejected_name(each)), sets[_guarded_name(each)]
    asked = [pattern for pattern in allowed if _is_asked(pattern, guarded.patterns)]
    usual = [pattern for pattern in allowed if pattern not in asked]
    return (
        *(_reject(rejected.patterns, "customimportreject", rejected.name) if rejected else ()),
        *_accept(asked, "asked for by its own prefix"),
        *(_reject(guarded.patterns, "unless asked for", guarded.name) if usual else ()),
        *_accept(usual, "allowed"),
    )


def _rejected_name(each: Family) -> str:
    return f"rejected{digit(each)}"


def _guarded_name(each: Family) -> str:
    return f"guarded{digit(each)}"


def _rejected(each: Family, guards: Guards) -> tuple[PrefixPattern, ...]:
    return _of(each, _inside(guards.rejected))


def _guarded(each: Family, guards: Guards) -> tuple[PrefixPattern, ...]:
    inside = (*_inside(guards.services), *_inside(guards.own), *_below(guards.pods))
    return _of(each, (*_default_route(each), *inside))


def _is_asked(pattern: PrefixPattern, guarded: Iterable[PrefixPattern]) -> bool:
    if not pattern.prefix.prefixlen:
        return not pattern.max_length
    return any(
        guard.prefix.prefixlen
        and guard.min_length <= pattern.prefix.prefixlen
        and pattern.prefix.subnet_of(guard.prefix)  # type: ignore[arg-type]  # both of one family
        for guard in guarded
    )


def _default_route(each: Family) -> tuple[PrefixPattern]:
    return (PrefixPattern(prefix=_DEFAULT_ROUTES[each], min_length=0, max_length=0),)


def _inside(prefixes: Iterable[Prefix]) -> Iterator[PrefixPattern]:
    """The prefixes and everything more specific."""
    for prefix in prefixes:
        yield PrefixPattern(prefix=prefix, min_length=prefix.prefixlen, max_length=prefix.max_prefixlen)


def _below(prefixes: Iterable[Prefix]) -> Iterator[PrefixPattern]:
    """Only what is more specific."""
    for prefix in prefixes:
        if prefix.prefixlen < prefix.max_prefixlen:
            yield PrefixPattern(prefix=prefix, min_length=prefix.prefixlen + 1, max_length=prefix.max_prefixlen)


def _of(each: Family, patterns: Iterable[PrefixPattern]) -> tuple[PrefixPattern, ...]:
    """Those of one family, in order, each prefix once with its widest range of lengths."""
    widest: dict[Prefix, PrefixPattern] = {}
    for pattern in patterns:
        if family(pattern.prefix) is each:
            known = widest.get(pattern.prefix, pattern)
            widest[pattern.prefix] = replace(known, min_length=min(known.min_length, pattern.min_length))
    return tuple(widest[prefix] for prefix in sorted(widest, key=sort_key))


def _reject(patterns: tuple[PrefixPattern, ...], comment: str, name: str = "") -> tuple[Term, ...]:
    return (Term(accept=False, prefixes=patterns, prefix_set=name, comment=comment),) if patterns else ()


def _accept(patterns: Iterable[PrefixPattern], comment: str) -> tuple[Term, ...]:
    found = tuple(sorted(set(patterns), key=lambda pattern: (sort_key(pattern.prefix), pattern.min_length)))
    return (Term(accept=True, prefixes=found, comment=comment),) if found else ()


def outgoing_policy(cluster: Attributes, node: Attributes) -> Attributes:
    """What everything to external peers gets: the cluster's communities, and what the node's annotations add."""
    return Attributes(
        communities=tuple(sorted({*cluster.communities, *node.communities})),
        large_communities=tuple(sorted({*cluster.large_communities, *node.large_communities})),
        prepend=node.prepend,
    )
