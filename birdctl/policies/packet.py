"""The first packet of a connection, as rules and policies look at it."""

from __future__ import annotations

from dataclasses import dataclass

from birdctl.addresses import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """`protocol` is iptables' (tcp, udp, sctp, icmp, ipv6-icmp). `port` is the destination's, the type of an ICMP."""

    source: Address
    destination: Address
    protocol: str = "tcp"
    port: int = 0
    source_port: int = 0
