"""What the service proxy says of a Service: an object that no API server has, on its way from one loop to another."""

from __future__ import annotations

from birdctl.addresses import Address
from birdctl.cluster.objects import Object


class ProgrammedService(Object, frozen=True, kw_only=True):
    """Named like its Service. This node answers on `addresses`, and has endpoints to send traffic to for `serving`.

    An address is not in it while it is on its way out, or must not come back yet.
    """

    addresses: frozenset[Address] = frozenset()
    serving: frozenset[Address] = frozenset()
