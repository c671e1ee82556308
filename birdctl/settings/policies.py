"""How network policies are enforced."""

from __future__ import annotations

from dataclasses import dataclass

from birdctl import values
from birdctl.settings.entry import setting


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """Network policy."""

    run_firewall: bool = setting(
        False, values.BOOLEAN, "Network policy", "enforce NetworkPolicy and ClusterNetworkPolicy"
    )
    netpol_default_deny: bool = setting(
        False,
        values.BOOLEAN,
        "Network policy",
        "addresses of the node's pod CIDRs stay closed until their pod is known: no pod is open before its policies",
        live=True,
    )
    netpol_deny_action: str = setting(
        "reject",
        values.one_of("reject", "drop"),
        "Network policy",
        "what happens to traffic that NetworkPolicy refuses; ClusterNetworkPolicy always drops",
        live=True,
    )
    iptables_sync_period: float = setting(
        300.0,
        values.DURATION,
        "Network policy",
        "how often everything in the kernel is read back, and repaired where somebody else changed it",
        live=True,
    )
