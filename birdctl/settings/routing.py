"""What BIRD is configured with where no object of the cluster says more."""

# ruff: noqa: RUF009 - the defaults are declarations

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from birdctl import values
from birdctl.addresses import Address, Prefix, parse_prefix
from birdctl.secret import Secret
from birdctl.settings.entry import setting


@dataclass(frozen=True, kw_only=True)
class RoutingSettings:
    """BIRD, routing, advertisements, external peers."""

    bird_socket: Path = setting(Path("/run/bird/bird.ctl"), values.FILE, "BIRD", "BIRD's control socket")
    bird_config: Path = setting(
        Path("/etc/bird/bird.conf"), values.FILE, "BIRD", "the configuration file BIRD starts with"
    )
    bird_templates: Path | None = setting(
        None, values.FILE, "BIRD", "folder of templates that replace those of the same name", live=True
    )
    commit_timeout: float = setting(
        30.0,
        values.DURATION,
        "BIRD",
        "BIRD undoes a configuration by itself that is not confirmed within this time",
        live=True,
    )

    run_router: bool = setting(True, values.BOOLEAN, "Routing", "configure BIRD")
    enable_ipv4: bool = setting(
        True, values.BOOLEAN, "Routing", "route IPv4, enforce policies and proxy services on it", live=True
    )
    enable_ipv6: bool = setting(
        True, values.BOOLEAN, "Routing", "route IPv6, enforce policies and proxy services on it", live=True
    )
    cluster_asn: int = setting(64512, values.ASN, "Routing", "ASN of every node that has none of its own", live=True)
    nodes_full_mesh: bool = setting(
        True,
        values.BOOLEAN,
        "Routing",
        "every node peers with every other; false: only nodes of one `node.asn`",
        live=True,
    )
    enable_ibgp: bool = setting(True, values.BOOLEAN, "Routing", "sessions between nodes at all", live=True)
    bgp_port: int = setting(179, values.PORT, "Routing", "port BIRD listens on, and that of the other nodes", live=True)
    router_id: str = setting(
        "",
        values.ROUTER_ID,
        "Routing",
        "an IPv4 address, or `generate` from the node's address; empty: the node's IPv4 address, else generated",
        live=True,
    )
    bgp_holdtime: float = setting(
        90.0, values.duration_between(3, 65535), "Routing", "hold time of external peers that give none", live=True
    )
    bgp_graceful_restart: bool = setting(True, values.BOOLEAN, "Routing", "graceful restart (RFC 4724)", live=True)
    bgp_graceful_restart_time: float = setting(
        120.0,
        values.duration_between(1, 4095),
        "Routing",
        "how long peers keep our routes while BIRD restarts",
        live=True,
    )
    bgp_graceful_restart_deferral_time: float = setting(
        20.0, values.duration_between(1, 64800), "Routing", "longest wait for all peers after BIRD's restart", live=True
    )
    override_nexthop: bool = setting(
        False, values.BOOLEAN, "Routing", "next hop self towards external peers", live=True
    )

    advertise_pod_cidr: bool = setting(
        True, values.BOOLEAN, "Advertisements", "announce the node's pod CIDRs to external peers", live=True
    )
    advertise_cluster_ip: bool = setting(
        False, values.BOOLEAN, "Advertisements", "announce cluster IPs to external peers", live=True
    )
    advertise_external_ip: bool = setting(
        False, values.BOOLEAN, "Advertisements", "announce external IPs to external peers", live=True
    )
    advertise_loadbalancer_ip: bool = setting(
        False, values.BOOLEAN, "Advertisements", "announce load balancer IPs to external peers", live=True
    )
    service_cluster_ip_range: tuple[Prefix, ...] = setting(
        (parse_prefix("10.96.0.0/12"),),
        values.PREFIXES,
        "Advertisements",
        "ranges of cluster IPs, never imported",
        live=True,
    )
    service_external_ip_range: tuple[Prefix, ...] = setting(
        (), values.PREFIXES, "Advertisements", "ranges external IPs may come from", live=True
    )
    loadbalancer_ip_range: tuple[Prefix, ...] = setting(
        (), values.PREFIXES, "Advertisements", "ranges load balancer IPs may come from", live=True
    )

    strict_external_ip_validation: bool = setting(
        True,
        values.BOOLEAN,
        "Advertisements",
        "announce external and load balancer IPs only from their ranges; false: any but cluster IPs",
        live=True,
    )
    advertise_without_endpoints: bool = setting(
        False, values.BOOLEAN, "Advertisements", "announce services that have no ready endpoint", live=True
    )

    peer_router_ips: tuple[Address, ...] = setting(
        (), values.ADDRESSES, "External peers", "peers of every node", live=True
    )
    peer_router_asns: tuple[int, ...] = setting(
        (), values.ASNS, "External peers", "their ASNs, in the same order", live=True
    )
    peer_router_ports: tuple[int | None, ...] = setting(
        (), values.PORTS, "External peers", "their ports, in the same order; absent or blank: 179", live=True
    )
    peer_router_passwords: tuple[Secret | None, ...] = setting(
        (),
        values.PASSWORDS,
        "External peers",
        "their MD5 passwords in base64, in the same order, blank for none",
        live=True,
    )
    peer_router_passwords_file: Path | None = setting(
        None, values.FILE, "External peers", "file with the same list, read when the list itself is empty", live=True
    )
    peer_router_multihop_ttl: int = setting(
        0, values.integer(0, 255), "External peers", "TTL of eBGP multihop; below 2: directly connected", live=True
    )
    enable_bfd: bool = setting(False, values.BOOLEAN, "External peers", "BFD with the peers given here", live=True)
    bfd_detection_multiplier: int = setting(
        3, values.integer(1, 255), "External peers", "BFD packets that may be lost", live=True
    )
    bfd_desired_min_tx_interval: int = setting(
        1000, values.integer(1, 60_000), "External peers", "BFD's transmit interval in milliseconds", live=True
    )
    bfd_required_min_rx_interval: int = setting(
        1000, values.integer(1, 60_000), "External peers", "BFD's receive interval in milliseconds", live=True
    )
