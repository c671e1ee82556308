"""How services are proxied, and how their load balancer addresses are given out."""

from __future__ import annotations

from dataclasses import dataclass

from birdctl import values
from birdctl.addresses import Prefix
from birdctl.settings.entry import setting

_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Service proxy, load balancer."""

    run_service_proxy: bool = setting(
        False, values.BOOLEAN, "Service proxy", "program every Service in IPVS, in place of kube-proxy"
    )
    ipvs_scheduler: str = setting(
        "rr", values.one_of(*_SCHEDULERS), "Service proxy", "scheduler of services that name none", live=True
    )
    ipvs_sync_period: float = setting(
        300.0,
        values.DURATION,
        "Service proxy",
        "how often everything in the kernel is read back, and repaired where somebody else changed it",
        live=True,
    )
    ipvs_graceful_termination: bool = setting(
        True,
        values.BOOLEAN,
        "Service proxy",
        "an endpoint that goes keeps its connections until they end or its pod's grace period is over",
        live=True,
    )
    ipvs_graceful_period: float = setting(
        30.0, values.DURATION, "Service proxy", "grace period of endpoints whose pod is not known", live=True
    )
    ipvs_permit_all: bool = setting(
        True,
        values.BOOLEAN,
        "Service proxy",
        "a service address answers on its service ports alone; false: no rule about that, other firewalls decide",
        live=True,
    )
    masquerade_all: bool = setting(
        False, values.BOOLEAN, "Service proxy", "pods see this node as the client of every connection", live=True
    )
    hairpin_mode: bool = setting(
        False, values.BOOLEAN, "Service proxy", "every pod may reach itself through its service", live=True
    )
    nodeport_bindon_all_ip: bool = setting(
        False,
        values.BOOLEAN,
        "Service proxy",
        "node ports on all of the node's own addresses, not only on the one in its Node object",
        live=True,
    )
    service_node_port_range: tuple[int, int] = setting(
        (30000, 32767), values.PORT_RANGE, "Service proxy", "ports a node port may be", live=True
    )
    excluded_cidrs: tuple[Prefix, ...] = setting(
        (), values.PREFIXES, "Service proxy", "virtual servers with an address in these are somebody else's"
    )
    service_tcp_timeout: float = setting(
        0.0, values.DURATION, "Service proxy", "IPVS timeout of idle TCP connections; 0: the kernel's", live=True
    )
    service_tcpfin_timeout: float = setting(
        0.0, values.DURATION, "Service proxy", "IPVS timeout of TCP connections after a FIN; 0: the kernel's", live=True
    )
    service_udp_timeout: float = setting(
        0.0, values.DURATION, "Service proxy", "IPVS timeout of UDP flows; 0: the kernel's", live=True
    )
    announce_hold_down: float = setting(
        5.0,
        values.DURATION,
        "Service proxy",
        "how long a service address that was withdrawn is not announced again, however soon it serves",
        live=True,
    )

    run_loadbalancer: bool = setting(
        False, values.BOOLEAN, "Load balancer", "give addresses to Services of type LoadBalancer; one agent at a time"
    )
    loadbalancer_default_class: bool = setting(
        True, values.BOOLEAN, "Load balancer", "also to Services without a loadBalancerClass", live=True
    )
    loadbalancer_sync_period: float = setting(
        60.0, values.DURATION, "Load balancer", "how often all addresses are looked at afresh", live=True
    )
