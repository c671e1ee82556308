"""kube-router's flags that are no settings here: what to use instead, so that a migrating user is never left alone.

Flags with kube-router's meaning are ordinary settings; only those without one are listed.
"""

from __future__ import annotations

from collections.abc import Sequence

_OVERLAY = "belongs to the overlay, which this version does not have: leave it out"
_ADMIN = "BIRD has no gRPC: its control socket is --bird-socket, readers use `birdctl show`"

SWITCHES = {
    "enable-overlay": "tunnels are not in this version: give --enable-overlay=false",
    "enable-cni": "birdctl does not write CNI configuration: give --enable-cni=false and keep a CNI plugin",
    "enable-pod-egress": "birdctl does not masquerade pods: give --enable-pod-egress=false, the CNI plugin does it",
    "auto-mtu": "the CNI plugin sets the pods' MTU: give --auto-mtu=false",
    "disable-source-dest-check": "birdctl does not call AWS: switch the check off at the instances",
    "enable-pprof": "there is no Go profiler: the agent's times are in /metrics",
    "use-nftables-for-netpol": "policies are written through iptables, in nft mode if the host uses it: leave it out",
}
"""Boolean flags: `=false` is what birdctl does anyway and is accepted, true is refused with this line."""

REFUSED = {
    "cache-sync-timeout": "birdctl writes nothing before its first complete sync: `birdctl wait` has a timeout",
    "metrics-path": "it is always /metrics",
    "v": "use --log-level",
    "routes-sync-period": "it is --resync-period",
    "injected-routes-sync-period": "BIRD itself keeps learned routes in the kernel: leave it out",
    "runtime-endpoint": "pods are found by their network namespaces, no container runtime is asked: leave it out",
    "overlay-type": _OVERLAY,
    "overlay-encap": _OVERLAY,
    "overlay-encap-port": _OVERLAY,
    "bfd-port": "BIRD uses the ports of RFC 5881 and 5883, 3784 and 4784: leave it out",
    "gobgp-admin-address": _ADMIN,
    "gobgp-admin-port": _ADMIN,
}
"""Flags with a value."""


def without_foreign(words: Sequence[str]) -> list[str]:
    """`words` less the switches that are off. Raises ValueError with the remedy for what has no meaning here."""
    return [word for word in words if not _is_idle(word)]


def _is_idle(word: str) -> bool:
    flag, _, value = word.partition("=")
    name = flag.lstrip("-")
    if not flag.startswith("-") or (name not in SWITCHES and name not in REFUSED):
        return False
    if name in SWITCHES and value.lower() in ("false", "f", "0"):
        return True
    raise ValueError(f"{flag}: {SWITCHES.get(name) or REFUSED[name]}")
