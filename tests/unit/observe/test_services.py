"""Services as they should be, joined with the virtual servers of a kernel, and how that looks."""

from __future__ import annotations

import json
from ipaddress import ip_address

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from birdctl.cli.show.services import VIEW
from birdctl.observe.services import advertised, services, wanted
from birdctl.observe.views import Advertisement
from birdctl.services.model import (
    Activity,
    Connections,
    Forwarding,
    Owner,
    Protocol,
    Scheduler,
    SchedulerFlag,
    Traffic,
)
from tests.unit.services.servers import DNS, MARK, WEB, by_key, real, server


def owned(key, *reals, name="web", address="10.96.0.1", kind="ClusterIP", **fields):
    """A virtual server of the Service `default/NAME`, port 80."""
    owner = Owner(
        service=f"default/{name}",
        port_name="http",
        kind=kind,
        address=ip_address(address),
        protocol=Protocol.TCP,
        port=80,
    )
    return server(key, *reals, owner=owner, **fields)


ONE, OTHER = real("10.1.1.2 8080"), real("10.1.2.2 8080")
DESIRED = owned(WEB, ONE, OTHER)
ACTIVITY = Activity(
    traffic=Traffic(connections=5, packets_in=40, packets_out=30, bytes_in=4000, bytes_out=90000),
    real_servers={ONE.endpoint: Connections(active=2, inactive=1)},
)


def shown(desired, *there, activity=ACTIVITY):
    servers = by_key(*(replace(each, owner=None) for each in there))
    return services("n1", wanted("n1", [desired]), servers, dict.fromkeys(servers, activity))


def as_json(items):
    return json.loads(msgspec.json.encode(items))


def test_an_item_has_the_keys_of_the_interface() -> None:
    (item,) = as_json(shown(DESIRED, DESIRED))
    reals = [("10.1.1.2", 2, 1), ("10.1.2.2", None, None)]
    assert item == {
        "node": "n1",
        "namespace": "default",
        "name": "web",
        "portName": "http",
        "protocol": "TCP",
        "address": "10.96.0.1",
        "port": 80,
        "kind": "ClusterIP",
        "scheduler": "rr",
        "forwarding": "masquerade",
        "persistenceSeconds": 0,
        "realServers": [
            {
                "address": address,
                "port": 8080,
                "weight": 1,
                **({} if active is None else {"activeConnections": active, "inactiveConnections": inactive}),
            }
            for address, active, inactive in reals
        ],
        "traffic": {"connections": 5, "packetsIn": 40, "packetsOut": 30, "bytesIn": 4000, "bytesOut": 90000},
        "state": "ok",
    }


@pytest.mark.parametrize(
    ("there", "difference"),
    [
        (replace(DESIRED, scheduler=Scheduler.MH), "scheduler: mh instead of rr"),
        (replace(DESIRED, flags=frozenset({SchedulerFlag.FLAG_1})), "flags: flag-1 instead of none"),
        (replace(DESIRED, persistence_seconds=60), "persistence seconds: 60 instead of 0"),
        (replace(DESIRED, forwarding=Forwarding.TUNNEL), "forwarding: tunnel instead of masquerade"),
        (replace(DESIRED, ours=False), "somebody else made it"),
        (replace(DESIRED, real_servers=(ONE,)), "real server 10.1.2.2 port 8080 is missing"),
        (
            replace(DESIRED, real_servers=(ONE, real("10.1.2.2 8080", 7))),
            "real server 10.1.2.2 port 8080: weight 7 instead of 1",
        ),
        (
            replace(DESIRED, real_servers=(ONE, OTHER, real("10.1.3.2 8080"))),
            "real server 10.1.3.2 port 8080 is no endpoint",
        ),
    ],
)
def test_what_the_kernel_has_otherwise_is_said(there, difference) -> None:
    (item,) = shown(DESIRED, there)
    assert item.state == "different"
    assert difference in item.differences


@pytest.mark.parametrize(
    ("desired", "there"),
    [
        ((ONE,), (ONE, real("10.1.2.2 8080", 0))),
        ((ONE, real("10.1.2.2 8080", 0)), (ONE,)),
        ((ONE, real("10.1.2.2 8080", 0)), (ONE, real("10.1.2.2 8080", 0))),
    ],
)
def test_endpoints_that_drain_may_be_there_or_be_gone(desired, there) -> None:
    (item,) = shown(owned(WEB, *desired), server(WEB, *there))
    assert item.state == "ok"


def test_a_virtual_server_that_is_missing_has_nothing_but_its_names() -> None:
    (item,) = as_json(shown(DESIRED))
    assert item == {
        "node": "n1",
        "namespace": "default",
        "name": "web",
        "portName": "http",
        "protocol": "TCP",
        "address": "10.96.0.1",
        "port": 80,
        "kind": "ClusterIP",
        "state": "missing",
        "differences": ["it is not in the kernel"],
    }


def test_what_no_service_wants_any_more_is_leaving_and_what_others_made_is_not_shown() -> None:
    found = shown(DESIRED, DESIRED, server(DNS), server(MARK, ours=False))
    assert [(each.address, each.state) for each in found] == [("10.96.0.1", "ok"), ("10.96.0.10", "leaving")]
    assert found[1].name is None


def test_direct_server_return_is_found_by_its_mark_and_shown_by_its_address() -> None:
    desired = owned(MARK, ONE, address="192.0.2.7", kind="LoadBalancerIP", forwarding=Forwarding.TUNNEL)
    (item,) = shown(desired, desired)
    assert (item.state, item.address, item.port, item.mark) == ("ok", "192.0.2.7", 80, MARK.mark)


def test_without_the_agent_nobody_knows_whose_they_are() -> None:
    (item,) = services("n1", None, by_key(server(WEB, ONE)), {})
    assert (item.address, item.name, item.state) == ("10.96.0.1", None, None)


def test_they_are_in_the_order_of_names_and_addresses() -> None:
    keys = [replace(WEB, address=ip_address(f"10.96.0.{number}")) for number in (9, 10, 2)]
    names = dict(zip(keys, "bab", strict=True))
    known = [owned(key, name=names[key], address=str(key.address)) for key in keys]
    found = services("n1", wanted("n1", known), by_key(*known), {})
    assert [(each.name, each.address) for each in found] == [
        ("a", "10.96.0.10"),
        ("b", "10.96.0.2"),
        ("b", "10.96.0.9"),
    ]


def advertisement(prefix, *peers, source="clusterIP"):
    return Advertisement(node="n1", prefix=prefix, source=source, protocol="p", advertised_to=peers)


@pytest.mark.parametrize(
    ("advertisements", "peers"),
    [
        ([], ()),
        ([advertisement("10.96.0.1/32", "tor1", "tor2")], ("tor1", "tor2")),
        ([advertisement("10.96.0.0/16", "tor2"), advertisement("10.96.0.1/32", "tor1")], ("tor1", "tor2")),
        ([advertisement("10.96.0.2/32", "tor1"), advertisement("2001:db8::/32", "tor1")], ()),
        ([advertisement("10.96.0.0/16", "n2", source="pod")], ()),
    ],
)
def test_an_address_is_advertised_by_itself_or_in_an_aggregate(advertisements, peers) -> None:
    (item,) = advertised(shown(DESIRED, DESIRED), advertisements)
    assert item.advertised_to == peers


def test_node_ports_are_not_advertised() -> None:
    desired = owned(WEB, ONE, kind="NodePort")
    (item,) = advertised(shown(desired, desired), [advertisement("10.96.0.1/32", "tor1")])
    assert item.advertised_to == ()


ITEMS = tuple(
    advertised(
        services(
            "n1",
            wanted("n1", [DESIRED, owned(DNS, name="dns", address="10.96.0.10"), owned(MARK, address="192.0.2.7")]),
            by_key(
                replace(DESIRED, real_servers=(ONE, replace(OTHER, weight=0)), persistence_seconds=60), server(MARK)
            ),
            {WEB: ACTIVITY},
        ),
        [advertisement("10.96.0.1/32", "tor1", "tor2")],
    )
)


def rows(form):
    return [" ".join(line.split()) for line in VIEW.text(ITEMS, form).splitlines()]


def test_the_table() -> None:
    assert rows("table") == [
        "NODE NAMESPACE NAME KIND ADDRESS PORT SCHEDULER ENDPOINTS ACTIVE INACTIVE STATE",
        "n1 default dns ClusterIP 10.96.0.10 80/TCP - - - - missing",
        "n1 default web ClusterIP 10.96.0.1 80/TCP rr 1 2 1 different",
        "n1 default web ClusterIP 192.0.2.7 80/TCP rr 0 0 0 ok",
    ]


def test_the_wide_table() -> None:
    assert rows("wide")[0].partition(" PORT-NAME ")[2].split() == [
        *("FORWARDING", "FLAGS", "PERSISTENCE", "REAL-SERVERS", "CONNECTIONS"),
        *("PACKETS-IN", "PACKETS-OUT", "BYTES-IN", "BYTES-OUT", "ADVERTISED-TO", "DIFFERENCES"),
    ]
    assert rows("wide")[2] == (
        "n1 default web ClusterIP 10.96.0.1 80/TCP rr 1 2 1 different http masquerade - 60 "
        "10.1.1.2:8080,10.1.2.2:8080=0 5 40 30 4000 90000 tor1,tor2 "
        "persistence seconds: 60 instead of 0; real server 10.1.2.2 port 8080: weight 0 instead of 1"
    )


def test_the_other_forms() -> None:
    document = json.loads(VIEW.text(ITEMS, "json"))
    assert (document["kind"], len(document["items"])) == ("ServiceList", 3)
    assert document == yaml.safe_load(VIEW.text(ITEMS, "yaml"))
    assert VIEW.text(ITEMS[:1], "name") == "service/n1/default/dns/10.96.0.10:80/TCP"


def test_watching_leaves_out_what_changes_with_every_packet() -> None:
    quiet, busy = (shown(DESIRED, DESIRED, activity=each)[0] for each in (Activity(), ACTIVITY))
    assert quiet != busy
    assert VIEW.steady(quiet) == VIEW.steady(busy)
