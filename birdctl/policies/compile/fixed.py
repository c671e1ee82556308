"""The rules that are the same for every pod: what is exempt, what becomes of refused packets, where they are logged.

Exemptions stand where a connection would be refused, so that one that is allowed does not pass them:

- errors and neighbour discovery, without which paths do not work. Errors about connections that conntrack knows are
  RELATED and never get here; these are the others. RFC 4890 says which ICMPv6 must not be dropped.
- a pod to itself, which only a Service makes of it. No set can compare two addresses of a packet, so this is a filter
  program: load source and destination, equal or not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Rule
from birdctl.policies.compile.names import digest, logging_chain, refusing_chain
from birdctl.policies.model import Direction
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
_STRANGE = re.compile(r"[^\w./, -]", re.ASCII)
LIMIT = ("-m", "limit", "--limit", "10/sec", "--limit-burst", "100")
"""As many as a person can read."""


class Fixed:
    """By the node's options."""

    def __init__(self, options: PolicyOptions) -> None:
        self._options = options

    def refusing(self, direction: Direction, family: Family, *, logged: bool) -> Chain:
        """Where connections end that a pod's NetworkPolicies do not allow. TCP over IPv6 heeds resets alone at once."""
        reset = Rule(target="REJECT", protocol="tcp", options=("--reject-with", "tcp-reset"))
        rejects = (reset, Rule(target="REJECT"))
        log = (Rule(target=logging_chain(direction), extra=LIMIT),) if logged else ()
        ends = rejects if self._options.netpol_deny_action == "reject" else (Rule(target="DROP"),)
        return Chain(name=refusing_chain(direction), rules=(*self.exempt(family), *log, *ends))

    def dropping(self, direction: Direction, family: Family, policies: tuple[str, ...]) -> tuple[Rule, ...]:
        """Where connections end that these ClusterNetworkPolicies deny."""
        log = self.log(f"deny {direction.lower()}", policies)
        return (*self.exempt(family), replace(log, extra=LIMIT), Rule(target="DROP"))

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

    def log(self, what: str, policies: Sequence[str]) -> Rule:
        """To the NFLOG group, with a prefix such as `birdctl deny ingress: red/web,+2`."""
        before, after = f"birdctl {what}: ", f",+{len(policies) - 1}" if policies[1:] else ""
        name = _shortened(policies[0].removeprefix("NetworkPolicy "), _LONGEST_PREFIX - len(before + after))
        options = ("--nflog-prefix", f"{before}{name}{after}", "--nflog-group", str(self._options.log_group))
        return Rule(target="NFLOG", options=options)


def refuse(direction: Direction) -> Rule:
    """To the chain where connections end that a pod's NetworkPolicies do not allow."""
    return Rule(target=refusing_chain(direction), goto=True)


def _shortened(name: str, length: int) -> str:
    """In letters that no log misreads; cut, a digest tells it from others."""
    plain = _STRANGE.sub("_", name)
    return plain if len(plain) <= length else f"{plain[: length - 9]}~{digest([name])[:8]}"
