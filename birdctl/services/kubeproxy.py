"""How chains, rules and sets of kube-proxy are told from everybody else's, and what removes the chains. Pure.

Names are those in kube-proxy's own source (pkg/proxy/iptables, pkg/proxy/ipvs, pkg/proxy/nftables) since Kubernetes
1.11. kubelet's chains look alike, and are none of kube-proxy's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from birdctl.netfilter.iptables_text import split
from birdctl.services.model import Protocol

DEVICE = "kube-ipvs0"
TABLE = "kube-proxy"
"""In nftables mode it has everything in there, one for each family."""
_TABLES = ("filter", "nat", "mangle")
_HOOKED = frozenset(
    {
        *("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-FORWARD"),
        *("KUBE-PROXY-FIREWALL", "KUBE-NODE-PORT", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER"),
    }
)
"""What it jumps to from the kernel's chains."""
_MARK, _MASQUERADE = "KUBE-MARK-MASQ", "KUBE-POSTROUTING"
_CHAINS = _HOOKED | {_MARK, "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-PROXY-CANARY"}
_OF_SERVICES = re.compile(r"KUBE-(?:SVC|SVL|SEP|FW|EXT|XLB)-[A-Z2-7]{16}")
_FIREWALL = "KUBE-FIREWALL"
"""kubelet's in the table filter; in nat, kube-proxy's."""
_LONGEST_SET = 31
_SETS = (
    *("LOOP-BACK", "CLUSTER-IP", "IPVS-IPS", "HEALTH-CHECK-NODE-PORT", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL"),
    *("LOAD-BALANCER", "LOAD-BALANCER-LOCAL", "LOAD-BALANCER-FW", "LOAD-BALANCER-SOURCE-IP"),
    *("LOAD-BALANCER-SOURCE-CIDR", "NODE-PORT-TCP", "NODE-PORT-LOCAL-TCP", "NODE-PORT-UDP", "NODE-PORT-LOCAL-UDP"),
    *("NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH"),
)
SETS = frozenset(f"{prefix}{name}"[:_LONGEST_SET] for prefix in ("KUBE-", "KUBE-6-") for name in _SETS)
_NODE_PORTS = re.compile(r"KUBE-(?:6-)?NODE-PORT-(?:LOCAL-)?(TCP|UDP|SCTP)")
_RULE = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) (.*)")


def node_ports_of(name: str) -> Protocol | None:
    """What the ports in the set are of; None where it holds none of kube-proxy's node ports."""
    match = _NODE_PORTS.match(name) if name in SETS else None
    return Protocol(match[1]) if match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainsLeft:
    """kube-proxy's chains in one table: those that can go, and those that rules of others lead to.

    `hooks` are the rules that lead to the former from the kernel's chains, as (chain, rule).
    """

    table: str
    going: tuple[str, ...]
    staying: tuple[str, ...]
    hooks: tuple[tuple[str, str], ...]

    @property
    def removal(self) -> str:
        """For `iptables-restore --noflush`."""
        lines = [f"*{self.table}", *(f"-D {chain} {rule}" for chain, rule in self.hooks)]
        lines += [f"-F {name}" for name in self.going]
        lines += [f"-X {name}" for name in self.going]
        return "\n".join([*lines, "COMMIT", ""])


class _Jump(NamedTuple):
    chain: str
    rule: str
    target: str


def chains_left(saved: str) -> Iterator[ChainsLeft]:
    """By table of what iptables-save printed, where there are any."""
    for text in re.split(r"^\*", saved, flags=re.MULTILINE):
        table, _, content = text.partition("\n")
        if table in _TABLES and (found := _in_table(table, content.splitlines())):
            yield found


def _in_table(table: str, lines: Collection[str]) -> ChainsLeft | None:
    policies = dict(line[1:].split(" ")[:2] for line in lines if line.startswith(":"))
    theirs = {name: None for name in policies if _is_theirs(table, name)}
    if not theirs:
        return None
    jumps = [jump for jump in _jumps(lines) if jump.target in theirs]
    hooks = [jump for jump in jumps if policies[jump.chain] != "-" and jump.target in _HOOKED]
    inside: dict[str, set[str]] = {name: set() for name in theirs}
    for jump in jumps:
        inside.get(jump.chain, set()).add(jump.target)
    wanted = {jump.target for jump in jumps if jump.chain not in inside and jump not in hooks}
    staying = _reached(wanted, inside)
    if _MARK in staying and _MASQUERADE in inside:
        staying = _reached({*staying, _MASQUERADE}, inside)
    return ChainsLeft(
        table=table,
        going=tuple(name for name in theirs if name not in staying),
        staying=tuple(name for name in theirs if name in staying),
        hooks=tuple((jump.chain, jump.rule) for jump in hooks if jump.target not in staying),
    )


def _is_theirs(table: str, name: str) -> bool:
    return name in _CHAINS or bool(_OF_SERVICES.fullmatch(name)) or (table, name) == ("nat", _FIREWALL)


def _jumps(lines: Iterable[str]) -> Iterator[_Jump]:
    """Rules that lead to another chain: its name is their last word."""
    for line in lines:
        if match := _RULE.fullmatch(line):
            *_, how, target = split(match[2])
            if how in ("-j", "-g"):
                yield _Jump(match[1], match[2], target)


def _reached(start: Collection[str], jumps: Mapping[str, Collection[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = [*start]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += jumps[name]
    return reached
