"""The names behind a configuration."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.routing import inventory
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.model import BirdConfig, Channel, Limit, Originated, PeerType, Session
from birdctl.secret import Secret

CONFIG = BirdConfig(
    node="a",
    version=(2, 0, 12),
    router_id="10.0.0.1",
    families=(Family.IPV4,),
    sessions=(
        Session(
            name="peer_tor1",
            peer="tor1",
            type=PeerType.EXTERNAL,
            origin="BGPPeer tor1",
            local_asn=64512,
            remote_asn=65001,
            address=ip_address("10.0.0.9"),
            password=Secret("s3cret"),
            channels=(
                Channel(
                    family=Family.IPV4,
                    import_filter="tor1_in4",
                    export_filter="tor1_out4",
                    import_limit=Limit(prefixes=100, action="block"),
                ),
            ),
        ),
    ),
    originated=(
        Originated(
            name="services_web4",
            family=Family.IPV4,
            origin="services",
            prefixes=(ip_network("10.96.0.1/32"), ip_network("192.0.2.1/32")),
            sources=("clusterIP", "loadBalancerIP"),
        ),
    ),
)

INVENTORY = Inventory(
    node="a",
    digest="0123",
    version=(2, 0, 12),
    router_id="10.0.0.1",
    sessions={
        "peer_tor1": SessionNames(
            peer="tor1",
            type=PeerType.EXTERNAL,
            origin="BGPPeer tor1",
            remote_asn=65001,
            local_asn=64512,
            address="10.0.0.9",
            families=("ipv4",),
            limits={"ipv4": 100},
        )
    },
    originated={"services_web4": {"10.96.0.1/32": "clusterIP", "192.0.2.1/32": "loadBalancerIP"}},
    origins={"services_web4": "services"},
)


def test_every_protocol_leads_back_to_the_name_people_use() -> None:
    assert inventory.from_config(CONFIG, "0123") == INVENTORY


def test_it_is_read_as_it_was_written_and_holds_no_secret(tmp_path: Path) -> None:
    inventory.write(tmp_path, INVENTORY)
    assert inventory.read(tmp_path) == INVENTORY
    assert b"s3cret" not in inventory.path(tmp_path).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.json"]


def test_one_that_is_missing_or_of_another_version_is_none(tmp_path: Path) -> None:
    assert inventory.read(tmp_path) is None
    for content in ("", "{}", '{"node": 1}', "not json"):
        inventory.path(tmp_path).write_text(content)
        assert inventory.read(tmp_path) is None


def test_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    inventory.path(tmp_path).mkdir()
    with pytest.raises(BackendError, match=r"cannot read .*inventory.json: Is a directory"):
        inventory.read(tmp_path)


def test_a_session_of_an_unnumbered_peer_goes_by_the_peers_name() -> None:
    sessions = {"tor1": "unnumbered", "tor1_2": "another peer"}
    assert inventory.of_protocol(sessions, "tor1") == "unnumbered"
    assert inventory.of_protocol(sessions, "tor1_1") == "unnumbered"
    assert inventory.of_protocol(sessions, "tor1_2") == "another peer"
    assert inventory.of_protocol(sessions, "tor2_1") is None
