"""What doctor says of network policy, one thing at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.cli import checks, firewall_checks
from birdctl.errors import BackendError
from birdctl.netfilter import sysctl
from birdctl.netfilter.iptables import Mode
from birdctl.settings import Settings
from tests.unit.cli.test_checks import put


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /proc."""
    monkeypatch.setattr(checks, "PROC", tmp_path / "proc")
    monkeypatch.setattr(sysctl, "ROOT", tmp_path / "proc/sys")
    return tmp_path / "proc"


@pytest.mark.parametrize(
    ("used", "most", "result"), [("10", "100", "ok"), ("95", "100", "warning"), (None, None, "error")]
)
def test_connections_must_be_tracked_and_have_room(proc: Path, used: str | None, most: str | None, result: str) -> None:
    for name, value in (("count", used), ("max", most)):
        if value:
            put(proc, f"net.netfilter.nf_conntrack_{name}", value)
    assert firewall_checks.conntrack().result == result


@pytest.mark.parametrize(("value", "result"), [("1", "ok"), ("0", "error"), (None, "error")])
def test_bridged_packets_must_be_seen(proc: Path, value: str | None, result: str) -> None:
    if value:
        put(proc, "net.bridge.bridge-nf-call-ip6tables", value)
    found = firewall_checks.bridge(Family.IPV6, sysctl.bridged(Family.IPV6, ""))
    assert found.result == result
    assert found.fix is None or found.fix.endswith("sysctl -w net.bridge.bridge-nf-call-ip6tables=1")
    assert (found.fix or "").startswith("modprobe br_netfilter") is (value is None)


@pytest.mark.parametrize(("value", "results"), [("1", ["ok"]), ("0", ["error"])])
def test_ipvs_must_be_tracked_where_it_serves(proc: Path, value: str, results: list[str]) -> None:
    put(proc, "net.ipv4.vs.conntrack", value)
    assert list(firewall_checks.services()) == []
    put(proc, "net/ip_vs", "IP Virtual Server\nTCP  0A600001:0050 rr")
    assert [each.result for each in firewall_checks.services()] == results


def test_rules_in_both_modes_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall_checks, "detect", lambda: Mode.NFT)
    monkeypatch.setattr(firewall_checks, "rules_in", lambda mode: 3 if mode is Mode.NFT else 2)
    assert [each.result for each in firewall_checks.iptables()] == ["ok", "warning"]
    monkeypatch.setattr(firewall_checks, "rules_in", lambda mode: 3 if mode is Mode.NFT else 0)
    assert [each.result for each in firewall_checks.iptables()] == ["ok"]


@pytest.mark.parametrize(
    ("problem", "result"), [(None, "ok"), (BackendError("no xt_bpf"), "error"), (PermissionError(), "warning")]
)
def test_what_the_kernel_refuses_is_an_error(
    problem: Exception | None, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(_: object) -> None:
        if problem:
            raise problem

    monkeypatch.setattr(firewall_checks, "detect", lambda: Mode.NFT)
    monkeypatch.setattr(firewall_checks, "in_own_namespace", tried)
    assert firewall_checks.rules(Settings()).result == result
