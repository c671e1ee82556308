"""The rules that are the same for every pod: what is exempt, what becomes of refused packets, where they are logged.

Exemptions stand where a connection would be refused, so that one that is allowed does not pass them:

- errors and neighbour discovery, without which paths do not work. Errors about connections that conntrack knows are
  RELATED and never get here; these are the others. RFC 4890 says which ICMPv6 must not be dropped.
- a pod to itself, which only a Service makes of it. No set can compare two addresses of a packet, so this is a filter
  program: load source and destination, equal or not.
"""

from __future__ import annotations

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Rule
from birdctl.policies.compile.names import SHORT, refusing_chain
from birdctl.policies.model import CHAIN_PREFIX, Direction
from birdctl.policies.options import PolicyOptions

ICMP_TYPES = {Family.IPV4: (3, 11, 12), Family.IPV6: (1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 143)}
ICMP_PROTOCOLS = {Family.IPV4: "icmp", Family.IPV6: "ipv6-icmp"}
SELF = {
    Family.IPV4: "6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 65535,6 0 0 0",
    Family.IPV6: (
        "18,32 0 0 8,7 0 0 0,32 0 0 24,29 0 13 0,32 0 0 12,7 0 0 0,32 0 0 28,29 0 9 0,"
        "32 0 0 16,7 0 0 0,32 0 0 32,29 0 5 0,32 0 0 20,7 0 0 0,32 0 0 36,29 0 1 0,6 0 0 65535,6 0 0 0"
    ),
}
_LONGEST_PREFIX = 63
_LIMIT = ("-m", "limit", "--limit", "10/sec", "--limit-burst", "100")


class Fixed:
    """By the node's options."""

    def __init__(self, options: PolicyOptions) -> None:
        self._options = options

    def refuse(self, direction: Direction) -> str:
        """The chain where connections end that a pod's NetworkPolicies do not allow."""
        return refusing_chain(direction)

    def drop(self, direction: Direction) -> str:
        """The chain where connections end that a ClusterNetworkPolicy denies."""
        return f"{CHAIN_PREFIX}DROP-{SHORT[direction]}"

    def refusing(self, direction: Direction, family: Family) -> tuple[Chain, Chain]:
        """Both of these chains."""
        begin = (*self.exempt(family), self.log(f"deny {direction.lower()}"))
        refused = Rule(target=self._options.netpol_deny_action.upper())
        return (
            Chain(name=self.refuse(direction), rules=(*begin, refused)),
            Chain(name=self.drop(direction), rules=(*begin, Rule(target="DROP"))),
        )

    def exempt(self, family: Family) -> tuple[Rule, ...]:
        """What is never refused, returned."""
        option = "--icmp-type" if family is Family.IPV4 else "--icmpv6-type"
        module = "icmp" if family is Family.IPV4 else "icmp6"
        protocol = ICMP_PROTOCOLS[family]
        return (
            *(
                Rule(target="RETURN", protocol=protocol, extra=("-m", module, option, str(number)))
                for number in ICMP_TYPES[family]
            ),
            Rule(target="RETURN", extra=("-m", "bpf", "--bytecode", SELF[family])),
        )

    def log(self, text: str) -> Rule:
        """To the NFLOG group, as many as a person can read."""
        prefix = f"birdctl {text}"[:_LONGEST_PREFIX]
        options = ("--nflog-prefix", prefix, "--nflog-group", str(self._options.log_group))
        return Rule(target="NFLOG", extra=_LIMIT, options=options)
