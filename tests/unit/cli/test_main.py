"""`birdctl …` as a whole: verbs, help, exit codes, flags as kube-router has them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

import birdctl
from birdctl import settings
from birdctl.cli import kube_router, parser, reference
from birdctl.cli.commands import COMMANDS, Command
from birdctl.cli.main import main
from birdctl.errors import BackendError
from birdctl.settings import Settings

README = Path(birdctl.__file__).parents[1] / "README.md"

# pkg/options of kube-router 2.11: every flag it has.
KUBE_ROUTER = """
advertise-cluster-ip advertise-external-ip advertise-loadbalancer-ip advertise-pod-cidr auto-mtu
bfd-desired-min-tx-interval bfd-detection-multiplier bfd-port bfd-required-min-rx-interval bgp-graceful-restart
bgp-graceful-restart-deferral-time bgp-graceful-restart-time bgp-holdtime bgp-port cache-sync-timeout cleanup-config
cluster-asn disable-source-dest-check enable-bfd enable-cni enable-ibgp enable-ipv4 enable-ipv6 enable-overlay
enable-pod-egress enable-pprof excluded-cidrs gobgp-admin-address gobgp-admin-port hairpin-mode health-addr health-port
hostname-override injected-routes-sync-period iptables-sync-period ipvs-graceful-period ipvs-graceful-termination
ipvs-permit-all ipvs-sync-period kubeconfig loadbalancer-default-class loadbalancer-ip-range loadbalancer-sync-period
masquerade-all master metrics-addr metrics-path metrics-port netpol-default-deny nodeport-bindon-all-ip nodes-full-mesh
overlay-encap overlay-encap-port overlay-type override-nexthop peer-router-asns peer-router-ips
peer-router-multihop-ttl peer-router-passwords peer-router-passwords-file peer-router-ports router-id
routes-sync-period run-firewall run-loadbalancer run-router run-service-proxy runtime-endpoint service-cluster-ip-range
service-external-ip-range service-node-port-range service-tcp-timeout service-tcpfin-timeout service-udp-timeout
strict-external-ip-validation use-nftables-for-netpol v
""".split()  # noqa: SIM905 - a list of words reads better so

VERBS = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def exit_code(*words: str) -> int:
    try:
        return main(words)
    except SystemExit as end:  # argparse's way out
        return int(end.code or 0)


def parsed(*words: str) -> Settings:
    """The settings that `birdctl agent WORDS` runs with."""
    command = next(command for command in COMMANDS if command.name == "agent")
    return Settings.load(parser.build(command)[0].parse(words), {})


@VERBS
def test_every_verb_and_flag_has_help(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*command.words, "--help") == 0
    said = capsys.readouterr().out
    assert command.summary[1:] in said
    built = parser.build(command)[0]
    actions = (*parser.actions(built, flags=True), *parser.actions(built, flags=False))
    assert [action.dest for action in actions if not action.help] == []


@VERBS
def test_every_verb_is_its_module_s_and_says_more_in_its_docstring(command: Command) -> None:
    _, module = parser.build(command)
    assert module.__name__ == command.module
    assert module.__doc__


def test_the_readme_has_every_verb_flag_and_setting() -> None:
    text = README.read_text()
    assert reference.filled(text) == text, "run `.venv/bin/python -m birdctl.cli.reference README.md`"


def test_the_overall_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    said = capsys.readouterr().out
    assert all(f"  {command.name} " in said and command.summary in said for command in COMMANDS)


def test_the_help_of_a_group_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("show", "--help") == 0
    said = capsys.readouterr().out
    assert all(command.summary in said for command in COMMANDS if command.words[0] == "show")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == exit_code("-V") == 0
    assert capsys.readouterr().out.splitlines() == [f"birdctl {birdctl.__version__}"] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "birdctl: unknown verb 'fly' (see birdctl --help)"),
        (["show"], "birdctl: birdctl show: say one of peers, routes,"),
        (["show", "birds"], "birdctl: birdctl show birds: say one of peers, routes,"),
        (
            ["show", "peers", "--fast"],
            "birdctl show peers: unrecognized arguments: --fast (see birdctl show peers --help)",
        ),
        (["show", "peers", "-o", "xml"], "birdctl show peers: argument -o/--output: invalid choice: 'xml'"),
        (["plan", "--run-router", "false"], "birdctl plan: unrecognized arguments: false"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


def test_no_verb_is_wrong_usage_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 2
    assert "verbs:" in capsys.readouterr().out


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(_: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("birdctl.cli.history.run", fail)
    return exit_code("history")


def test_an_expected_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(BackendError("BIRD refused it"), monkeypatch) == 1
    assert capsys.readouterr().err == "birdctl: BIRD refused it\n"


def test_a_bug_is_a_traceback_and_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(ZeroDivisionError("oops"), monkeypatch) == 3
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_an_interruption_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(KeyboardInterrupt(), monkeypatch) == 130


def test_global_flags_stand_before_or_after_the_verb() -> None:
    before = parser.root().parse(["--runtime-dir", "/a", "show", "peers", "-o", "json"])
    assert (before.runtime_dir, before.words) == ("/a", ["show", "peers", "-o", "json"])
    assert parsed("--runtime-dir", "/b", "--log-level=debug").runtime_dir == Path("/b")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--enable-ibgp"], True),
        (["--enable-ibgp=true"], True),
        (["--enable-ibgp=false"], False),
        (["--enable-ibgp=false", "--enable-ibgp"], True),
    ],
)
def test_boolean_flags_are_given_as_in_kube_router(words: list[str], value: bool) -> None:
    assert parsed(*words).enable_ibgp is value


def test_lists_are_comma_lists_or_repeated_flags() -> None:
    both = parsed("--peer-router-asns=65001,65002", "--peer-router-asns", "65003")
    assert both.peer_router_asns == (65001, 65002, 65003)


def test_kube_router_s_arguments_work() -> None:
    found = parsed(
        "--run-router=true",
        "--run-firewall",
        "--netpol-default-deny",
        "--iptables-sync-period=5m",
        "--run-service-proxy=false",
        "--enable-overlay=false",
        "--enable-cni=false",
        "--bgp-graceful-restart=true",
        "--kubeconfig=/var/lib/kube-router/kubeconfig",
        "--hostname-override=n1",
        "--cluster-asn=64600",
        "--advertise-cluster-ip",
        "--peer-router-ips=10.0.0.1,10.0.0.2",
        "--peer-router-asns=65000,65000",
    )
    assert (found.node, found.cluster_asn, found.advertise_cluster_ip) == ("n1", 64600, True)
    assert (found.run_firewall, found.netpol_default_deny, found.iptables_sync_period) == (True, True, 300.0)


@pytest.mark.parametrize("flag", KUBE_ROUTER)
def test_every_flag_of_kube_router_has_a_meaning_or_a_remedy(flag: str) -> None:
    known = {name for entry in settings.table() for name in entry.names}
    places = [flag in known, flag in kube_router.SWITCHES, flag in kube_router.REFUSED]
    assert places.count(True) == 1


@pytest.mark.parametrize("flag", [*kube_router.SWITCHES, *kube_router.REFUSED])
def test_only_flags_of_kube_router_have_a_remedy(flag: str) -> None:
    assert flag in KUBE_ROUTER


@pytest.mark.parametrize("flag", kube_router.SWITCHES)
def test_a_switch_of_another_part_may_be_off_and_not_on(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(f"--{flag}=false") == parsed()
    for word in (f"--{flag}", f"--{flag}=true"):
        assert exit_code("agent", word) == 2
        assert kube_router.SWITCHES[flag] in capsys.readouterr().err


@pytest.mark.parametrize("flag", kube_router.REFUSED)
def test_a_flag_without_meaning_is_refused_with_what_to_use_instead(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([f"--{flag}=5"], [f"--{flag}", "5"], [f"-{flag}", "5"]):
        assert exit_code("plan", *words) == 2
        said = capsys.readouterr().err
        assert kube_router.REFUSED[flag] in said
        assert said.count("\n") == 1


def test_help_and_errors_never_print_a_given_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("agent", "--peer-router-passwords", "c2VjcmV0", "--help") == 0
    assert exit_code("plan", "--peer-router-passwords", "c2VjcmV0!") == 1
    said = capsys.readouterr()
    assert "c2VjcmV0" not in said.out + said.err
