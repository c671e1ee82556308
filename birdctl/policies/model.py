"""What enforcing policies on a node takes: ipsets and iptables chains, the same values for desired and actual.

One filter table per family. Everything is named, sorted and resolved by the compiler; backends only write it. A set's
name is a digest of its type and meaning (a selector, an address block), so a set whose meaning changes is another set.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from birdctl.addresses import Family
from birdctl.netfilter.model import IpSet, Owner, Table

CHAIN_PREFIX, SET_PREFIX = Owner.POLICIES.chain_prefix, Owner.POLICIES.set_prefix


class Direction(enum.StrEnum):
    """Of a connection, seen from the pod, in the API's words."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """Everything of one node. Both mappings hold what is ours only."""

    tables: Mapping[Family, Table]
    sets: Mapping[str, IpSet]
