"""The settings that decide about services: a field has the name of the setting it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from birdctl.addresses import Prefix
from birdctl.services.model import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """`service_node_port_range` has both ends in it; times are in seconds, timeouts of 0 are the kernel's own."""

    enable_ipv4: bool = True
    enable_ipv6: bool = True
    ipvs_scheduler: Scheduler = Scheduler.RR
    ipvs_graceful_termination: bool = True
    ipvs_graceful_period: float = 30.0
    ipvs_permit_all: bool = True
    masquerade_all: bool = False
    hairpin_mode: bool = False
    nodeport_bindon_all_ip: bool = False
    service_node_port_range: tuple[int, int] = (30000, 32767)
    service_cluster_ip_range: tuple[Prefix, ...] = ()
    service_external_ip_range: tuple[Prefix, ...] = ()
    loadbalancer_ip_range: tuple[Prefix, ...] = ()
    strict_external_ip_validation: bool = True
    excluded_cidrs: tuple[Prefix, ...] = ()
    service_tcp_timeout: float = 0.0
    service_tcpfin_timeout: float = 0.0
    service_udp_timeout: float = 0.0
