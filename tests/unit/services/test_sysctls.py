"""Which of the kernel's settings services need, when, and what is said of those that are otherwise."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.netfilter import sysctl
from birdctl.netfilter.sysctl import Sysctl
from birdctl.services import sysctls
from birdctl.services.model import DirectReturn, Mark, Port, Protocol, Scheduler, ServiceState, VirtualServer
from birdctl.services.sysctls import needed


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /proc/sys."""
    monkeypatch.setattr(sysctl, "ROOT", tmp_path)
    return tmp_path


def put(root: Path, **values: str) -> None:
    """`net__a__b` for net.a.b."""
    for name, value in values.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def wanted(**given: object) -> dict[str, str]:
    everything = {"ipv4": True, "ipv6": True, "bridged": True, "sloppy": True, "kernel": (6, 1)}
    return {each.name: each.wanted for each in needed(**{**everything, **given})}


def test_every_setting_has_one_entry_and_says_what_goes_wrong_otherwise() -> None:
    table = needed(ipv4=True, ipv6=True, bridged=True, sloppy=True, kernel=(6, 1))
    assert len({each.name for each in table}) == len(table)
    assert all(each.otherwise for each in table)


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        ({"ipv4": False}, {"arp_ignore", "arp_announce", "rp_filter", "bridge-nf-call-iptables"}),
        ({"ipv6": False}, {"bridge-nf-call-ip6tables"}),
        ({"bridged": False}, {"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"}),
        ({"sloppy": False}, {"sloppy_tcp"}),
    ],
)
def test_nothing_is_set_that_is_not_needed(without: dict[str, bool], missing: set[str]) -> None:
    assert {name.rpartition(".")[2] for name in wanted().keys() - wanted(**without).keys()} == missing


@pytest.mark.parametrize(("kernel", "value"), [((5, 8), "0"), ((5, 9), "1"), ((6, 18), "1")])
def test_reusing_a_port_goes_by_the_kernel(kernel: tuple[int, int], value: str) -> None:
    assert wanted(kernel=kernel)["net.ipv4.vs.conn_reuse_mode"] == value


def test_applying_sets_what_differs_and_tells_nothing_when_all_is_well(root: Path) -> None:
    put(root, net__a="0", net__b="1")
    table = (Sysctl(name="net.a", wanted="1", otherwise=""), Sysctl(name="net.b", wanted="1", otherwise=""))
    assert sysctl.apply(table) == ()
    assert (root / "net/a").read_text() == "1"


ONE = (Sysctl(name="net.a", wanted="1", otherwise=""),)


def test_what_was_set_becomes_what_it_was(root: Path) -> None:
    record = root / "run/sysctls.json"
    put(root, net__a="0", net__b="1")
    sysctl.apply((*ONE, Sysctl(name="net.b", wanted="1", otherwise="")), record)
    put(root, net__b="7")
    assert sysctl.restore(record) == ("net.a",)
    assert ((root / "net/a").read_text(), (root / "net/b").read_text()) == ("0", "7\n")
    assert not record.exists()


@pytest.mark.parametrize(("now", "then"), [("1", "0"), ("2", "2")])
def test_the_first_value_counts_however_often_one_is_set_and_others_values_stay(
    root: Path, now: str, then: str
) -> None:
    record = root / "sysctls.json"
    put(root, net__a="0")
    sysctl.apply(ONE, record)
    put(root, net__a="5")
    sysctl.apply(ONE, record)
    put(root, net__a=now)
    sysctl.restore(record)
    assert (root / "net/a").read_text().strip() == then


def test_values_that_were_right_leave_no_record(root: Path) -> None:
    put(root, net__a="1")
    sysctl.apply(ONE, root / "sysctls.json")
    assert not (root / "sysctls.json").exists()
    assert sysctl.restore(root / "sysctls.json") == ()


def test_a_setting_that_the_kernel_lacks_is_told_with_the_module(root: Path) -> None:
    table = (Sysctl(name="net.ipv4.vs.conntrack", wanted="1", otherwise="answers are lost", module="ip_vs"),)
    (left,) = sysctl.apply(table)
    assert left.found == "net.ipv4.vs.conntrack is absent: answers are lost"
    assert left.fix == "modprobe ip_vs; sysctl -w net.ipv4.vs.conntrack=1"
    assert not list(root.iterdir())


def test_looking_changes_nothing(root: Path) -> None:
    put(root, net__a="0")
    (found,) = sysctl.deviations((Sysctl(name="net.a", wanted="1", otherwise="it breaks"),))
    assert (found.found, found.fix) == ("net.a is 0: it breaks", "sysctl -w net.a=1")
    assert (root / "net/a").read_text() == "0\n"


@pytest.mark.parametrize(
    ("everywhere", "uplink", "then"),
    [("0", "0", "0"), ("1", "0", "2"), ("0", "1", "2"), ("2", "1", "2")],
)
def test_the_reverse_path_filter_becomes_loose_where_it_was_strict(
    root: Path, everywhere: str, uplink: str, then: str
) -> None:
    put(root, net__ipv4__conf__all__rp_filter=everywhere, net__ipv4__conf__eth0__rp_filter=uplink)
    table = tuple(
        each
        for each in needed(ipv4=True, ipv6=False, bridged=False, sloppy=False, kernel=(6, 1))
        if each.name.endswith("rp_filter")
    )
    assert sysctl.apply(table) == ()
    assert (root / "net/ipv4/conf/all/rp_filter").read_text().strip() == then


@pytest.mark.parametrize(("scheduler", "expected"), [(Scheduler.MH, True), (Scheduler.RR, False)])
def test_connections_go_on_at_another_node_with_direct_return_and_a_consistent_scheduler(
    scheduler: Scheduler, expected: bool
) -> None:
    port = Port(address=ip_address("203.0.113.80"), protocol=Protocol.TCP, port=80)
    key = Mark(mark=1, family=Family.IPV4)
    returns = (DirectReturn(port=port, mark=1, local_pods=frozenset()),)
    servers = {key: VirtualServer(key=key, scheduler=scheduler), port: VirtualServer(key=port, scheduler=Scheduler.MH)}
    assert sysctls.goes_on(ServiceState(virtual_servers=servers, direct_returns=returns)) is expected
    assert not sysctls.goes_on(ServiceState(virtual_servers=servers))
