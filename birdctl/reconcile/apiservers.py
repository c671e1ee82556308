"""Where the API servers themselves are, on disk: an agent that reaches them only through a virtual server that it makes
itself could not come back when that leads nowhere.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from birdctl.cluster.objects import EndpointSlice
from birdctl.cluster.store import Cluster, Key

log = logging.getLogger(__name__)

SERVICE = "default/kubernetes"
_PORT = "https"


def path(runtime_dir: Path) -> Path:
    """The file: a URL a line."""
    return runtime_dir / "apiservers"


def record(cluster: Cluster, news: Collection[Key], runtime_dir: Path) -> None:
    """Writes them down when they have changed; nobody at all is not believed."""
    changed = (cluster.get(EndpointSlice, key) for kind, key in news if kind == EndpointSlice.__name__)
    if not any(each and each.service_key == SERVICE for each in changed):
        return
    urls = sorted(set(_urls(cluster)))
    if not urls:
        return
    try:
        new = path(runtime_dir).with_suffix(".new")
        new.write_text("".join(f"{url}\n" for url in urls))
        new.replace(path(runtime_dir))
    except OSError as error:
        log.warning("cannot write down where the API servers are: %s", error)


def _urls(cluster: Cluster) -> Iterator[str]:
    for each in cluster.slices_of(SERVICE):
        ports = [port.port for port in each.ports if port.name == _PORT and port.port]
        for endpoint in each.endpoints:
            for address in endpoint.addresses[:1]:
                host = f"[{address}]" if ":" in address else address
                yield from (f"https://{host}:{port}" for port in ports if endpoint.conditions.is_ready)
