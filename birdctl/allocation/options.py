"""The settings that decide about load balancer addresses: a field has the name of the setting it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from birdctl.addresses import Prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationOptions:
    """`loadbalancer_default_class`: services without a class are ours too."""

    loadbalancer_default_class: bool = True
    loadbalancer_ip_range: tuple[Prefix, ...] = ()
    service_cluster_ip_range: tuple[Prefix, ...] = ()
