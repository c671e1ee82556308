"""Which source the settings name, and what each domain reads from it.

Each source's module is loaded only when it is the one: the API server's client costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.clusterpolicy import ClusterNetworkPolicy
from birdctl.cluster.objects import EndpointSlice, Namespace, NetworkPolicy, Node, Object, Pod, Secret, Service
from birdctl.cluster.source import Source
from birdctl.cluster.store import Cluster
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
POLICIES: tuple[type[Object], ...] = (Node, Namespace, Pod, NetworkPolicy, ClusterNetworkPolicy)


def domains(settings: Settings) -> Mapping[str, tuple[type[Object], ...]]:
    """What is switched on, with what it reads."""
    known = {"routing": (settings.run_router, ROUTING), "policies": (settings.run_firewall, POLICIES)}
    return {name: types for name, (switched_on, types) in known.items() if switched_on}


def _types(settings: Settings) -> tuple[type[Object], ...]:
    return tuple(dict.fromkeys(chain.from_iterable(domains(settings).values())))


def open_source(settings: Settings) -> tuple[Source, ApiClient | None]:
    """The live source, not yet started, and the API server it reads, if it does.

    Raises BirdctlError when it cannot even be addressed.
    """
    if settings.manifests:
        from birdctl.cluster.folder import FolderSource  # noqa: PLC0415 - only the source in use is paid for

        return FolderSource(settings.manifests), None
    from birdctl.cluster.apiclient import ApiClient  # noqa: PLC0415
    from birdctl.cluster.apiserver import ApiServerSource  # noqa: PLC0415

    client = ApiClient.connect(settings.kubeconfig)
    return ApiServerSource(client, settings.node, _types(settings), settings.namespace), client


def load(settings: Settings) -> Cluster:
    """The cluster as it is now, read once. Raises Unavailable when the source is not there."""
    if settings.manifests:
        from birdctl.cluster.folder import load_folder  # noqa: PLC0415 - only the source in use is paid for

        return load_folder(settings.manifests)
    from birdctl.cluster.apiclient import ApiClient  # noqa: PLC0415
    from birdctl.cluster.apiserver import load_cluster  # noqa: PLC0415

    return load_cluster(ApiClient.connect(settings.kubeconfig), settings.node, _types(settings), settings.namespace)
