"""Who answers at one port of a service, by the side that clients come from."""

from __future__ import annotations

import msgspec

from birdctl.addresses import Address
from birdctl.services.compile.backends import Backends
from birdctl.services.compile.choice import Choice, anywhere, on_this_node
from birdctl.services.compile.surroundings import Context
from birdctl.services.compile.wishes import Wishes


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """`internal` at cluster IPs, `external` at all other addresses, and there for the cluster's own alone when
    `inside_only`. `local` are the endpoints on this node.
    """

    internal: Choice
    external: Choice
    inside_only: bool
    local: frozenset[Address]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why some endpoints do not answer, each reason once."""
        return tuple(dict.fromkeys(self.internal.reasons + self.external.reasons))


def answers(backends: Backends, wishes: Wishes, context: Context) -> Answers:
    """Where external traffic is to stay on a node without an endpoint, all endpoints answer the cluster's own."""
    everywhere = anywhere(backends, context)
    here = on_this_node(backends, context) if wishes.internal_local or wishes.external_local else everywhere
    inside_only = wishes.external_local and not here.serves
    return Answers(
        internal=here if wishes.internal_local else everywhere,
        external=here if wishes.external_local and not inside_only else everywhere,
        inside_only=inside_only,
        local=frozenset(backend.address for backend in backends.values() if backend.node == context.node),
    )
