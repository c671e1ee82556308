"""What doctor says of the service proxy, one thing at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.cli import service_checks
from birdctl.cli.checks import warning
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import sysctl
from birdctl.netfilter.iptables import Mode
from birdctl.netfilter.sysctl import Sysctl
from birdctl.services import leftovers as proxy_leftovers
from birdctl.services import sysctls
from birdctl.services.model import Scheduler
from birdctl.settings import Settings


@pytest.mark.parametrize(
    ("problem", "result"),
    [(None, "ok"), (Unavailable("no IPVS"), "error"), (BackendError("no"), "error"), (PermissionError(), "warning")],
)
def test_what_the_kernel_lacks_is_an_error(
    problem: Exception | None, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_out(_: object) -> None:
        if problem:
            raise problem

    monkeypatch.setattr(service_checks, "in_own_namespace", try_out)
    assert service_checks.tried("IPVS", lambda: None, "modprobe ip_vs").result == result


def test_what_only_some_services_need_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_out(_: object) -> None:
        raise Unavailable("no tunnels")

    monkeypatch.setattr(service_checks, "in_own_namespace", try_out)
    assert service_checks.tried("tunnels", lambda: None, "modprobe ipip", warning).result == "warning"


@pytest.mark.parametrize(
    ("missing", "result"),
    [(set(), "ok"), ({Scheduler.MH}, "warning"), ({Scheduler.MH, Scheduler.RR}, "error")],
)
def test_the_default_scheduler_must_be_there_and_others_should(missing: set[Scheduler], result: str) -> None:
    found = service_checks.schedulers(missing, Scheduler.RR)
    assert found.result == result
    assert all(f"ip_vs_{each}" in (found.fix or "") for each in missing)


@pytest.mark.parametrize(("running", "result"), [(False, "warning"), (True, "error")])
def test_a_setting_that_a_running_agent_could_not_set_is_an_error(
    running: bool, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysctl, "ROOT", tmp_path)
    table = (
        Sysctl(name="net.one", wanted="1", otherwise="it breaks"),
        Sysctl(name="net.two", wanted="1", otherwise="that breaks"),
    )
    monkeypatch.setattr(sysctls, "needed_here", lambda **_: table)
    (tmp_path / "net").mkdir()
    (tmp_path / "net/one").write_text("1")
    (tmp_path / "net/two").write_text("0")
    if running:
        (tmp_path / "agent.sock").touch()
    one, two = service_checks.kernel_settings(Settings(runtime_dir=tmp_path))
    assert (one.result, one.found) == ("ok", "as it should be; otherwise it breaks")
    assert (two.result, two.found, two.fix) == (result, "net.two is 0: that breaks", "sysctl -w net.two=1")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node on which nobody else proxies; its /proc."""
    monkeypatch.setattr(proxy_leftovers, "PROC", tmp_path)
    monkeypatch.setattr(service_checks, "leftovers", lambda _: ())
    return tmp_path


@pytest.mark.usefixtures("alone")
def test_a_node_of_our_own_is_well() -> None:
    assert [each.result for each in service_checks.other_proxies(Settings())] == ["ok"]


def test_a_running_kube_proxy_is_an_error(alone: Path) -> None:
    (alone / "77").mkdir()
    (alone / "77/comm").write_text("kube-proxy\n")
    assert [each.result for each in service_checks.other_proxies(Settings())] == ["error"]


@pytest.mark.usefixtures("alone")
def test_what_another_proxy_left_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_checks, "leftovers", lambda _: ("device kube-ipvs0", "chain KUBE-SERVICES"))
    (found,) = service_checks.other_proxies(Settings())
    assert found.result == "warning"
    assert found.found == "of another proxy: device kube-ipvs0, chain KUBE-SERVICES"
    assert "kube-proxy --cleanup" in (found.fix or "")


def test_chains_of_kubelet_are_no_leftovers_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        Mode.NFT: [":KUBE-KUBELET-CANARY - [0:0]", ":KUBE-FIREWALL - [0:0]"],
        Mode.LEGACY: [":KUBE-SERVICES - [0:0]", "-A OUTPUT -j KUBE-SERVICES"],
    }
    monkeypatch.setattr(service_checks, "saved", lambda mode: lines[mode])
    monkeypatch.setattr(service_checks, "foreign_virtual_servers", lambda _: 2)
    monkeypatch.setattr(proxy_leftovers, "tables", lambda: (Family.IPV6,))
    monkeypatch.setattr(service_checks, "DEVICES", ())
    assert list(service_checks.leftovers(Settings())) == [
        "chain KUBE-SERVICES",
        "nftables table kube-proxy of IPv6",
        "2 virtual servers outside of --excluded-cidrs",
    ]
