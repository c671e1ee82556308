"""What a pass over the services is about to do to this node, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from birdctl.addresses import Address, sort_key
from birdctl.errors import InputError, UnsafePlan
from birdctl.observe.listing import some
from birdctl.reconcile.names import Names
from birdctl.services.model import ServerKey, ServiceState, VirtualServer

_NAMED = 20
"""How many of a kind the text names; the document names all."""


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True):
    """From what the node has to the desired state.

    `real_servers` are how many come and go, of all virtual servers. `problems` are the objects left out, `refusals` the
    reasons not to do it without force, each with its numbers.
    """

    node: str
    virtual_servers: Names
    real_servers: tuple[int, int]
    addresses: Names
    problems: tuple[InputError, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.virtual_servers.count or self.addresses.count)

    def check(self) -> None:
        """Raises UnsafePlan if it refuses itself."""
        if self.refusals:
            raise UnsafePlan(f"refused: {'; '.join(self.refusals)} (--force overrides)")

    def text(self) -> str:
        """For the terminal."""
        if self.changes:
            lines = [f"{self.node}: services", *(f"  {line}" for line in self._details())]
        else:
            lines = [f"{self.node}: nothing to do, the kernel has these services"]
        lines += [f"left out: {problem}" for problem in self.problems]
        return "\n".join([*lines, *(f"refused: {refusal}" for refusal in self.refusals)])

    def document(self) -> dict[str, Any]:
        """For programs; keys are camelCase and stable."""
        added, removed = self.real_servers
        return {
            "apiVersion": "birdctl.io/v1alpha1",
            "kind": "ServicePlan",
            "node": self.node,
            "changes": self.changes,
            "virtualServers": msgspec.to_builtins(self.virtual_servers),
            "realServers": {"added": added, "removed": removed},
            "addresses": msgspec.to_builtins(self.addresses),
            "problems": [str(problem) for problem in self.problems],
            "refusals": list(self.refusals),
        }

    def forms(self) -> dict[str, Any]:
        """Both of them, as the agent sends them."""
        return {"text": self.text(), "document": self.document()}

    def _details(self) -> Iterator[str]:
        for what, names in (("virtual servers", self.virtual_servers), ("addresses", self.addresses)):
            for word in ("added", "changed", "removed"):
                if found := getattr(names, word):
                    yield f"{what} {word}: {len(found)} ({some(found, _NAMED)})"
        if any(self.real_servers):
            added, removed = self.real_servers
            yield f"real servers: {added} added, {removed} removed"


def make_service_plan(
    node: str, actual: ServiceState, desired: ServiceState, problems: tuple[InputError, ...] = ()
) -> ServicePlan:
    """The plan to make the node's services the desired ones."""
    ours = {key: each for key, each in actual.virtual_servers.items() if each.ours or key in desired.virtual_servers}
    return ServicePlan(
        node=node,
        virtual_servers=_servers(ours, desired.virtual_servers),
        real_servers=(_more(desired.virtual_servers, ours), _more(ours, desired.virtual_servers)),
        addresses=Names(
            added=_sorted(desired.addresses - actual.addresses), removed=_sorted(actual.addresses - desired.addresses)
        ),
        problems=problems,
        refusals=tuple(refusals(ours, desired.virtual_servers)),
    )


def refusals(actual: Mapping[ServerKey, VirtualServer], desired: Mapping[ServerKey, VirtualServer]) -> Iterator[str]:
    """Reasons not to go from one to the other: emptying a node is nearly always somebody's mistake elsewhere."""
    serving = sum(bool(each.real_servers) for each in actual.values() if each.ours)
    if serving and not desired:
        yield f"would remove all {len(actual)} virtual servers, {serving} of them with endpoints"


def _servers(actual: Mapping[ServerKey, VirtualServer], desired: Mapping[ServerKey, VirtualServer]) -> Names:
    changed = (key for key, each in desired.items() if key in actual and _content(each) != _content(actual[key]))
    return Names(
        added=_named(desired.keys() - actual.keys()),
        removed=_named(actual.keys() - desired.keys()),
        changed=_named(changed),
    )


def _content(server: VirtualServer) -> object:
    weights = frozenset((each.endpoint, each.weight) for each in server.real_servers)
    return server.ours, server.scheduler, server.flags, server.persistence_seconds, server.forwarding, weights


def _more(these: Mapping[ServerKey, VirtualServer], those: Mapping[ServerKey, VirtualServer]) -> int:
    """How many real servers are in these and not in those."""
    return sum(len(_endpoints(each) - _endpoints(those.get(key))) for key, each in these.items())


def _endpoints(server: VirtualServer | None) -> set[object]:
    return {each.endpoint for each in server.real_servers} if server else set()


def _named(keys: Iterable[ServerKey]) -> tuple[str, ...]:
    return tuple(sorted(map(str, keys)))


def _sorted(addresses: frozenset[Address]) -> tuple[str, ...]:
    return tuple(map(str, sorted(addresses, key=sort_key)))
