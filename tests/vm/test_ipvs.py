"""Virtual servers in the kernel: what is written is there, what others made stays, and what is refused is told."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings

from birdctl.addresses import Prefix
from birdctl.errors import BackendError
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import changes
from birdctl.services.ipvs_text import servers_text
from birdctl.services.model import Connections, Forwarding, Port, Protocol, Scheduler, SchedulerFlag, VirtualServer
from tests.bird.daemon import Namespace
from tests.polling import eventually
from tests.unit.services.servers import DNS, KEYS, MARK, MARK_SIX, SIX, WEB, as_read, by_key, real, server, servers
from tests.vm.many_servers import many

A, B, C = real("10.2.0.1 8080"), real("10.2.0.2 8080"), real("10.2.0.3 8080")
FORBIDDEN = real("224.0.0.1 8080")
"""A multicast address cannot be a real server."""


@pytest.fixture(scope="module")
def node() -> Iterator[Namespace]:
    with Namespace() as node:
        yield node


@pytest.fixture(autouse=True)
def nothing(node: Namespace) -> Iterator[None]:
    yield
    node.run("ipvsadm --clear")


@pytest.fixture(scope="module")
def backend(node: Namespace) -> Iterator[IpvsBackend]:
    backend = opened(node)
    yield backend
    backend.close()


def opened(node: Namespace, excluded: Collection[Prefix] = ()) -> IpvsBackend:
    with node.inside():
        return IpvsBackend(excluded)


def bring_about(backend: IpvsBackend, *desired: VirtualServer) -> dict:
    """What the kernel refuses of the change from what there is."""
    return backend.write(changes(backend.read(), by_key(*desired)))


EVERY_KIND = {
    "tcp": server(WEB, A, B),
    "udp": server(DNS, A, scheduler=Scheduler.LC),
    "sctp over ipv6": server(SIX, real("2001:db8:2::1 443"), scheduler=Scheduler.WRR),
    "without real servers": server(WEB, scheduler=Scheduler.NQ),
    "weights": server(WEB, real("10.2.0.1 8080", 0), real("10.2.0.2 8080", 65535), scheduler=Scheduler.WLC),
    "affinity": server(WEB, A, persistence_seconds=10800),
    "affinity over ipv6": server(SIX, persistence_seconds=10800),
    "maglev with flags": server(WEB, A, B, scheduler=Scheduler.MH, flags=frozenset(SchedulerFlag)),
    "a mark, by tunnel": server(MARK, A, B, scheduler=Scheduler.MH, forwarding=Forwarding.TUNNEL),
    "an ipv6 mark, by tunnel": server(MARK_SIX, real("2001:db8:2::1 80"), forwarding=Forwarding.TUNNEL),
}


@pytest.mark.parametrize("wanted", EVERY_KIND.values(), ids=EVERY_KIND)
def test_what_is_written_is_read_back(backend: IpvsBackend, wanted: VirtualServer) -> None:
    assert bring_about(backend, wanted) == {}
    assert backend.read() == by_key(wanted)
    assert not changes(backend.read(), by_key(wanted))
    assert bring_about(backend) == {}
    assert backend.read() == {}


@pytest.mark.parametrize("scheduler", Scheduler)
def test_the_kernel_has_every_scheduler(backend: IpvsBackend, scheduler: Scheduler) -> None:
    assert bring_about(backend, server(WEB, A, B)) == {}
    assert bring_about(backend, server(WEB, A, B, scheduler=scheduler)) == {}
    assert backend.read()[WEB].scheduler is scheduler


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(known=servers(), desired=servers())
def test_the_kernel_gets_from_any_state_to_any_other(backend: IpvsBackend, known: dict, desired: dict) -> None:
    for wanted in (known, desired):
        assert bring_about(backend, *wanted.values()) == {}
        assert backend.read() == as_read(wanted)
        assert not changes(backend.read(), wanted)


def test_ipvsadm_reads_the_text_as_it_is_meant(node: Namespace, backend: IpvsBackend) -> None:
    wanted = {
        each.key: each
        for each in (
            server(WEB, A, B, scheduler=Scheduler.MH, flags=frozenset(SchedulerFlag), persistence_seconds=60),
            server(DNS, A, real("10.2.0.2 8080", 0), flags=frozenset({SchedulerFlag.FLAG_2})),
            server(SIX, real("2001:db8:2::1 443"), scheduler=Scheduler.SH, persistence_seconds=60),
            server(MARK, real("10.2.0.1 0"), scheduler=Scheduler.MH, forwarding=Forwarding.TUNNEL),
            server(MARK_SIX, real("2001:db8:2::1 0"), forwarding=Forwarding.TUNNEL),
        )
    }
    restore = node.command("ipvsadm", "--restore")
    done = subprocess.run(restore, input=servers_text(wanted), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert backend.read() == wanted


def test_what_others_made_is_told_apart_and_stays(node: Namespace, backend: IpvsBackend) -> None:
    node.run("ipvsadm -A -t 10.96.0.1:80 -s fo")
    node.run("ipvsadm -a -t 10.96.0.1:80 -r 10.2.0.1:80 -g -w 7")
    before = node.run("ipvsadm --save -n")
    assert [(key, each.ours) for key, each in backend.read().items()] == [(WEB, False)]
    assert bring_about(backend, server(DNS, A)) == {}
    assert bring_about(backend) == {}
    assert node.run("ipvsadm --save -n") == before


def test_a_desired_one_that_others_made_becomes_ours(node: Namespace, backend: IpvsBackend) -> None:
    node.run("ipvsadm -A -t 10.96.0.1:80 -s wlc -p 300 -b flag-2")
    node.run("ipvsadm -a -t 10.96.0.1:80 -r 10.2.0.1:80 -g -w 7")
    node.run("ipvsadm -a -t 10.96.0.1:80 -r 10.2.0.3:8080 -m")
    wanted = server(WEB, real("10.2.0.1 80"), B)
    assert bring_about(backend, wanted) == {}
    assert backend.read() == by_key(wanted)


@pytest.mark.parametrize("edit", ["-E -t 10.96.0.1:80 -s wlc", "-e -t 10.96.0.1:80 -r 10.2.0.1:80 -g"])
def test_what_others_change_of_ours_is_put_right(node: Namespace, backend: IpvsBackend, edit: str) -> None:
    wanted = server(WEB, real("10.2.0.1 80"), B)
    bring_about(backend, wanted)
    node.run(f"ipvsadm {edit}")
    assert changes(backend.read(), by_key(wanted))
    assert bring_about(backend, wanted) == {}
    assert backend.read() == by_key(wanted)


def test_excluded_addresses_are_neither_read_nor_written(node: Namespace, backend: IpvsBackend) -> None:
    assert bring_about(backend, server(WEB, A), server(SIX)) == {}
    before = node.run("ipvsadm --save -n")
    careful = opened(node, [ip_network("10.96.0.0/24")])
    assert careful.read().keys() == careful.activity().keys() == {SIX}
    assert bring_about(careful, server(WEB, B), server(SIX)) == {WEB: "its address is in --excluded-cidrs"}
    assert node.run("ipvsadm --save -n") == before
    careful.close()


def test_a_refusal_names_the_virtual_server_and_touches_no_other(backend: IpvsBackend) -> None:
    refused = bring_about(backend, server(WEB, A), server(DNS, B, FORBIDDEN, C), server(SIX))
    assert refused == {DNS: "real server 224.0.0.1 port 8080: no address or setting that IPVS takes"}
    assert backend.read() == by_key(server(WEB, A), server(DNS, B, C), server(SIX))


def test_the_first_of_several_refusals_is_told(backend: IpvsBackend) -> None:
    bring_about(backend, server(WEB, A))
    assert backend.write(changes({}, by_key(server(WEB, A)))) == {
        WEB: "virtual server with scheduler rr: it is there already"
    }


def test_refusals_are_told_by_virtual_server_however_many_are_sent(backend: IpvsBackend) -> None:
    wanted = many(300, 30)
    bad = [*wanted][::50]
    for key in bad:
        wanted[key] = server(key, *wanted[key].real_servers, FORBIDDEN)
    assert backend.write(changes({}, wanted)).keys() == set(bad)
    assert sum(len(each.real_servers) for each in backend.read().values()) == 300 * 30


def test_virtual_servers_of_other_namespaces_hide_none(backend: IpvsBackend) -> None:
    """The kernel's listing has not all then."""
    wanted = many(300, 30)
    with Namespace() as other:
        elsewhere = opened(other)
        elsewhere.write(changes({}, many(600, 1)))
        backend.write(changes({}, wanted))
        assert backend.read() == wanted
        assert {len(each.real_servers) for each in backend.activity().values()} == {30}
        elsewhere.close()


def test_what_is_gone_already_is_no_refusal_to_delete(node: Namespace, backend: IpvsBackend) -> None:
    known = by_key(server(WEB, A, B), server(DNS, A))
    backend.write(changes({}, known))
    node.run("ipvsadm -d -t 10.96.0.1:80 -r 10.2.0.1:8080")
    node.run("ipvsadm -D -u 10.96.0.10:53")
    assert backend.write(changes(known, by_key(server(WEB, B)))) == {}
    assert backend.read() == by_key(server(WEB, B))


def test_what_is_gone_cannot_be_changed(backend: IpvsBackend) -> None:
    assert backend.write(changes(by_key(server(WEB, A)), by_key(server(WEB, B)))) == {
        WEB: "real server 10.2.0.2 port 8080: its virtual server is not there"
    }


def test_traffic_and_connections_are_counted(node: Namespace, backend: IpvsBackend) -> None:
    vip, behind = Port(address=ip_address("198.18.96.1"), protocol=Protocol.TCP, port=80), real("198.18.0.1 8080")
    for address in (vip.address, behind.address):
        node.run(f"ip address add {address}/32 dev lo")
    bring_about(backend, server(vip, behind))
    with ExitStack() as sockets:
        with node.inside():
            listener = sockets.enter_context(socket.create_server((str(behind.address), behind.port)))
            for _ in range(2):
                client = sockets.enter_context(socket.create_connection((str(vip.address), vip.port), timeout=5))
                answering = sockets.enter_context(listener.accept()[0])
        client.close()
        answering.close()
        eventually(lambda: backend.connections([vip]) == {vip: {behind.endpoint: Connections(active=1, inactive=1)}})
        eventually(lambda: backend.activity()[vip].traffic.connections)
        seen = backend.activity()[vip]
    assert seen.real_servers == {behind.endpoint: Connections(active=1, inactive=1)}
    assert seen.traffic.connections == 2
    assert seen.traffic.packets_in >= 4
    assert seen.traffic.bytes_out > 0


def test_connections_of_what_is_not_there_are_none(backend: IpvsBackend) -> None:
    assert backend.connections(KEYS) == {key: {} for key in KEYS}


def test_timeouts_are_set_and_0_leaves_one_as_it_is(node: Namespace, backend: IpvsBackend) -> None:
    backend.set_timeouts(tcp=600, fin=30, udp=60)
    backend.set_timeouts(tcp=0, fin=31, udp=0)
    assert "600 31 60" in node.run("ipvsadm --list --timeout")


def test_a_timeout_that_the_kernel_refuses_is_an_error(backend: IpvsBackend) -> None:
    with pytest.raises(BackendError, match="IPVS refuses the timeouts"):
        backend.set_timeouts(tcp=2**31, fin=0, udp=0)


@pytest.mark.parametrize("scheduler", [Scheduler.RR, Scheduler.MH])
def test_a_thousand_virtual_servers_of_ten_real_ones_are_written_read_and_removed(
    backend: IpvsBackend, scheduler: Scheduler
) -> None:
    wanted = many(1000, 10, scheduler)
    assert backend.write(changes({}, wanted)) == {}
    assert not changes(backend.read(), wanted)
    assert backend.write(changes(wanted, {})) == {}
    assert backend.read() == {}
