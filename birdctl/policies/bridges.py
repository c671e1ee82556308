"""What two pods on one bridge say to each other meets iptables only if br_netfilter hands it over (its own sysctls)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_SYSCTLS = Path("/proc/sys/net/bridge")
_NAMES = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")


def hand_over() -> tuple[str, ...]:
    """Switches it on in this network namespace, where there is br_netfilter. The sysctls that could not be set."""
    return tuple(_refusing())


def _refusing() -> Iterator[str]:
    for name in _NAMES:
        path = _SYSCTLS / name
        try:
            if path.exists() and path.read_text().strip() != "1":
                path.write_text("1")
        except OSError:
            yield f"net.bridge.{name}"
