"""Walks a route through a filter of the model, as BIRD would: the first term whose conditions all hold decides."""

from __future__ import annotations

from birdctl.addresses import Prefix, parse_prefix
from birdctl.routing.compile import Compiled
from birdctl.routing.model import Attributes, Filter, PrefixPattern, Term
from tests.unit.routing.build import filters, sessions


def verdict(chain: Filter, prefix: str, *, protocol: str = "", source: str = "RTS_BGP") -> Attributes | None:
    """The attributes an accepted route gets, None when it is rejected."""
    for term in chain.terms:
        if _holds(term, parse_prefix(prefix), protocol, source):
            return term.attributes if term.accept else None
    return Attributes() if chain.accept_rest else None


def imports(result: Compiled, peer: str, prefix: str) -> bool:
    """Whether the session with `peer` accepts a route to `prefix` from it."""
    channel = _channel(result, peer, prefix)
    return verdict(filters(result)[channel.import_filter], prefix) is not None


def exports(result: Compiled, peer: str, prefix: str) -> Attributes | None:
    """What `peer` gets with `prefix`, which is originated here or else learned by BGP; None when it does not get it."""
    channel = _channel(result, peer, prefix)
    protocol = next((each.name for each in result.config.originated if parse_prefix(prefix) in each.prefixes), "")
    source = "RTS_STATIC" if protocol else "RTS_BGP"
    return verdict(filters(result)[channel.export_filter], prefix, protocol=protocol, source=source)


def _channel(result, peer, prefix):
    version = parse_prefix(prefix).version
    return next(each for each in sessions(result)[peer].channels if each.family == f"IPv{version}")


def _holds(term: Term, prefix: Prefix, protocol: str, source: str) -> bool:
    return (
        (not term.protocols or protocol in term.protocols)
        and (not term.sources or source in term.sources)
        and (not term.prefixes or any(_matches(pattern, prefix) for pattern in term.prefixes))
    )


def _matches(pattern: PrefixPattern, prefix: Prefix) -> bool:
    return (
        prefix.version == pattern.prefix.version
        and prefix.subnet_of(pattern.prefix)
        and pattern.min_length <= prefix.prefixlen <= pattern.max_length
    )
