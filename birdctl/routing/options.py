"""The settings that decide about routing: a field has the name of the setting it comes from.

What an object of the cluster says about the same thing wins over these: settings belong to a node, objects to the
cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from birdctl.addresses import Address, Prefix, parse_prefix
from birdctl.secret import Secret

DEFAULT_ASN = 64512


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingOptions:
    """Times in seconds, BFD intervals in milliseconds.

    `router_id` is an IPv4 address, `generate` or empty. The `peer_router_*` lists run parallel; ports and passwords
    may be empty. Strict validation: external and load balancer addresses outside their ranges are not advertised.
    `only_programmed`: neither are addresses that no ProgrammedService has.
    """

    namespace: str = "birdctl-system"
    enable_ipv4: bool = True
    enable_ipv6: bool = True
    cluster_asn: int = DEFAULT_ASN
    nodes_full_mesh: bool = True
    enable_ibgp: bool = True
    bgp_port: int = 179
    router_id: str = ""
    bgp_holdtime: float = 90.0
    bgp_graceful_restart: bool = True
    bgp_graceful_restart_time: float = 120.0
    bgp_graceful_restart_deferral_time: float = 20.0
    override_nexthop: bool = False
    advertise_pod_cidr: bool = True
    advertise_cluster_ip: bool = False
    advertise_external_ip: bool = False
    advertise_loadbalancer_ip: bool = False
    advertise_without_endpoints: bool = False
    strict_external_ip_validation: bool = True
    service_cluster_ip_range: tuple[Prefix, ...] = (parse_prefix("10.96.0.0/12"),)
    service_external_ip_range: tuple[Prefix, ...] = ()
    loadbalancer_ip_range: tuple[Prefix, ...] = ()
    only_programmed: bool = False
    peer_router_ips: tuple[Address, ...] = ()
    peer_router_asns: tuple[int, ...] = ()
    peer_router_ports: tuple[int | None, ...] = ()
    peer_router_passwords: tuple[Secret | None, ...] = ()
    peer_router_multihop_ttl: int = 0
    enable_bfd: bool = False
    bfd_detection_multiplier: int = 3
    bfd_desired_min_tx_interval: int = 1000
    bfd_required_min_rx_interval: int = 1000
