"""Configurations for driving BIRD: small, and each with its digest."""

from __future__ import annotations

from birdctl.routing.inventory import Inventory
from birdctl.routing.render import Rendered

FOREIGN = "router id 10.0.0.1;\nprotocol device { }\n"


def rendered(digest: str, *blocks: str) -> Rendered:
    """A text of ours."""
    return Rendered("\n".join((f'define BIRDCTL_DIGEST = "{digest}";', FOREIGN, *blocks, "")), digest)


def inventory(digest: str) -> Inventory:
    return Inventory(node="a", digest=digest, version=(2,), router_id="10.0.0.1")


def session(name: str, here: str, there: str, asn: int = 64512, more: str = "") -> str:
    """An iBGP session that is up as soon as the other end is there."""
    return (
        f"protocol bgp {name} {{ local {here} as 64512; neighbor {there} as {asn}; connect delay time 1;"
        f" error wait time 1, 1; connect retry time 1; {more}"
        f" ipv4 {{ import all; export where source = RTS_STATIC; }}; }}"
    )


def prefix(name: str, *prefixes: str) -> str:
    """A static protocol with these routes."""
    routes = " ".join(f"route {each} blackhole;" for each in prefixes)
    return f"protocol static {name} {{ ipv4; {routes} }}"
