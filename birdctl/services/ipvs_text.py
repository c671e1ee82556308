"""Virtual servers as `ipvsadm-save -n` prints them, for `ipvsadm -R`. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from birdctl.services.model import VirtualServer


def servers_text(servers: Iterable[VirtualServer]) -> str:
    """One line a virtual server and a real server."""
    return ""
