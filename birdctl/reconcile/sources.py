"""Which source the settings name, and what each domain reads from it.

Each source's module is loaded only when it is the one: the API server's client costs more than all the rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.clusterpolicy import ClusterNetworkPolicy
from birdctl.cluster.objects import EndpointSlice, Namespace, NetworkPolicy, Node, Object, Pod, Secret, Service
from birdctl.cluster.programmed import ProgrammedService
from birdctl.cluster.source import Source
from birdctl.cluster.store import Cluster
from birdctl.errors import Unavailable
from birdctl.reconcile import apiservers
from birdctl.reconcile.inbox import Inbox
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.apiclient import ApiClient

ROUTING: tuple[type[Object], ...] = (
    Node,
    Service,
    EndpointSlice,
    Namespace,
    Secret,
    BGPConfiguration,
    BGPPeer,
    BGPAdvertisement,
    AddressPool,
)
SERVICES: tuple[type[Object], ...] = (Node, Service, EndpointSlice, Pod, AddressPool)
LOADBALANCER: tuple[type[Object], ...] = (Node, Service, Namespace, AddressPool)
POLICIES: tuple[type[Object], ...] = (Node, Namespace, Pod, NetworkPolicy, ClusterNetworkPolicy)


def domains(settings: Settings) -> Mapping[str, tuple[type[Object], ...]]:
    """What is switched on, with what it reads."""
    known = {
        "routing": (settings.run_router, ROUTING),
        "policies": (settings.run_firewall, POLICIES),
        "services": (settings.run_service_proxy, SERVICES),
        "loadbalancer": (settings.run_loadbalancer, LOADBALANCER),
    }
    return {name: types for name, (switched_on, types) in known.items() if switched_on}


def open_inboxes(settings: Settings) -> Mapping[str, Inbox]:
    """One for each domain that is switched on. Routing waits for the word of the service proxy, where there is one."""
    types = dict(domains(settings))
    if settings.run_router and settings.run_service_proxy:
        types["routing"] = (*types["routing"], ProgrammedService)
    return {name: Inbox(each) for name, each in types.items()}


def _types(settings: Settings) -> tuple[type[Object], ...]:
    return tuple(dict.fromkeys(chain.from_iterable(domains(settings).values())))


def is_known(settings: Settings) -> bool:
    """Whether the settings name a source, or this is a pod, which knows its API server."""
    return bool(settings.manifests or settings.kubeconfig or "KUBERNETES_SERVICE_HOST" in os.environ)


def open_source(settings: Settings) -> tuple[Source, ApiClient | None]:
    """The live source, not yet started, and the API server it reads, if it does.

    Raises BirdctlError when it cannot even be addressed.
    """
    if settings.manifests:
        from birdctl.cluster.folder import FolderSource  # noqa: PLC0415 - only the source in use is paid for

        return FolderSource(settings.manifests), None
    client = _connect(settings)
    from birdctl.cluster.apiserver import ApiServerSource  # noqa: PLC0415

    return ApiServerSource(client, settings.node, _types(settings), settings.namespace), client


def load(settings: Settings) -> Cluster:
    """The cluster as it is now, read once. Raises Unavailable when the source is not there, or not known."""
    if settings.manifests:
        from birdctl.cluster.folder import load_folder  # noqa: PLC0415 - only the source in use is paid for

        return load_folder(settings.manifests)
    client = _connect(settings)
    from birdctl.cluster.apiserver import load_cluster  # noqa: PLC0415

    return load_cluster(client, settings.node, _types(settings), settings.namespace)


def _connect(settings: Settings) -> ApiClient:
    if not is_known(settings):
        raise Unavailable(
            "no source of objects: give --manifests DIR or --kubeconfig FILE (a pod knows its API server)"
        )
    from birdctl.cluster.apiclient import ApiClient  # noqa: PLC0415

    others = apiservers.path(settings.runtime_dir) if settings.run_service_proxy and not settings.master else None
    return ApiClient.connect(settings.kubeconfig, master=settings.master, others=others)
