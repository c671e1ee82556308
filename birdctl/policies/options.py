"""The settings that decide about policies: a field has the name of the setting it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """`netpol_default_deny`: addresses of this node's pod CIDRs that belong to no known pod are closed.

    `log_group` is the NFLOG group of refused packets.
    """

    enable_ipv4: bool = True
    enable_ipv6: bool = True
    netpol_default_deny: bool = False
    netpol_deny_action: Literal["reject", "drop"] = "reject"
    log_group: int = 100
