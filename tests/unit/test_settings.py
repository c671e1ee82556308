"""Settings: where each value comes from, how it is read, and what is said of one that cannot be."""

from __future__ import annotations

import argparse
import dataclasses
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl import settings, values
from birdctl.errors import InputError
from birdctl.routing.options import RoutingOptions
from birdctl.secret import Secret
from birdctl.settings import Settings


def load(environment: dict[str, str] | None = None, /, **flags: Any) -> Settings:
    return Settings.load(argparse.Namespace(**flags), environment or {})


def error(environment: dict[str, str] | None = None, /, **flags: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(environment, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_flags_win_over_environment_over_file_over_defaults(file: Path) -> None:
    file.write_text("cluster-asn: 64601\nbgp-port: 1791\nresync-period: 1m\n")
    environment = {"BIRDCTL_CONFIG": str(file), "BIRDCTL_CLUSTER_ASN": "64602", "BIRDCTL_BGP_PORT": "1792"}
    found = load(environment, cluster_asn="64603")
    assert (found.cluster_asn, found.bgp_port, found.resync_period, found.commit_timeout) == (64603, 1792, 60.0, 30.0)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("resync_period", "90s", 90.0),
        ("resync_period", "1h30m", 5400.0),
        ("commit_timeout", "300ms", 0.3),
        ("run_router", "false", False),
        ("run_router", "True", True),
        ("cluster_asn", "4200000000", 4200000000),
        ("router_id", "generate", "generate"),
        ("router_id", "10.0.0.1", "10.0.0.1"),
        ("peer_router_ips", "10.0.0.1, fd00::1", (ip_address("10.0.0.1"), ip_address("fd00::1"))),
        (
            "peer_router_ips",
            ["10.0.0.1", "10.0.0.2,10.0.0.3"],
            tuple(map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))),
        ),
        ("peer_router_ports", "179,,1790", (179, None, 1790)),
        ("peer_router_passwords", "c2VjcmV0,", (Secret("secret"), None)),
        ("service_cluster_ip_range", "10.0.0.0/16,fd00::/112", (ip_network("10.0.0.0/16"), ip_network("fd00::/112"))),
        ("manifests", "", None),
        ("manifests", "/m", Path("/m")),
        ("metrics_port", "0", 0),
        ("log_level", "DEBUG", "debug"),
    ],
)
def test_a_value_is_read_by_its_kind(field: str, text: str | list[str], value: object) -> None:
    assert getattr(load(**{field: text}), field) == value


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("cluster_asn", "x", "--cluster-asn: 'x' is not an integer from 1 to 4294967294"),
        ("bgp_port", "70000", "--bgp-port: '70000' is not an integer from 1 to 65535"),
        ("resync_period", "5", "--resync-period: '5' is not a duration as 90s, 5m, 1h30m or 300ms"),
        ("bgp_holdtime", "1s", "--bgp-holdtime: '1s' is not a duration from 3s to 18h12m15s"),
        ("run_router", "maybe", "--run-router: 'maybe' is not true or false"),
        ("log_format", "xml", "--log-format: 'xml' is not one of text, json"),
        ("router_id", "0.0.0.0", "--router-id: '0.0.0.0' is not an IPv4 address or generate"),
        ("router_id", "fd00::1", "--router-id: 'fd00::1' is not an IPv4 address or generate"),
        ("peer_router_ips", "10.0.0.1,tor", "--peer-router-ips: '10.0.0.1,tor' is not a comma list of addresses"),
        (
            "service_cluster_ip_range",
            "10.0.0.1/8",
            "--service-cluster-ip-range: '10.0.0.1/8' is not a comma list of prefixes",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_source_and_what_was_expected(
    field: str, text: str, message: str
) -> None:
    assert error(**{field: text}).startswith(message)


def test_an_error_in_the_environment_names_the_variable() -> None:
    assert error({"BIRDCTL_BGP_PORT": "x"}).startswith("$BIRDCTL_BGP_PORT: 'x' is not an integer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bgp-prot: 179", "{file}: bgp-prot: unknown setting; did you mean bgp-port?"),
        ("bgp_port: 179", "{file}: bgp_port: unknown setting; did you mean bgp-port?"),
        ("bgp-port: x", "{file}: bgp-port: 'x' is not an integer from 1 to 65535"),
        ("bgp-port: {a: 1}", "{file}: bgp-port: expected a value or a list of values"),
        ("- bgp-port", "{file}: expected a mapping of settings, as `cluster-asn: 64512`"),
        ("a: b: c", "{file}: is not YAML: "),
    ],
)
def test_an_error_in_the_file_names_file_and_key(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    assert error(config=str(file)).startswith(message.format(file=file))


def test_a_file_that_is_not_there_is_an_error(file: Path) -> None:
    assert error(config=str(file)) == f"{file}: cannot be read: No such file or directory"


def test_the_file_takes_yaml_values_as_they_are(file: Path) -> None:
    file.write_text(
        "run-router: false\nbgp-port: 1790\npeer-router-ips: [10.0.0.1, 10.0.0.2]\npeer-router-asns: [65001, 65002]\n"
        "router-id:\n"
    )
    found = load(config=str(file))
    assert (found.run_router, found.bgp_port, found.router_id) == (False, 1790, "")
    assert found.peer_router_ips == (ip_address("10.0.0.1"), ip_address("10.0.0.2"))
    assert found.peer_router_asns == (65001, 65002)


def test_an_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load(config=str(file), node="a") == dataclasses.replace(load(node="a"), config=file)


def test_the_node_is_the_flag_then_node_name_then_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.socket, "gethostname", lambda: "Host7")
    assert load().node == "host7"
    assert load({"NODE_NAME": "n1"}).node == "n1"
    assert load({"NODE_NAME": "n1", "BIRDCTL_NODE": "n2"}).node == "n2"
    assert load({"NODE_NAME": "n1"}, node="n3").node == "n3"


def test_passwords_come_from_their_file_when_none_are_given(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("Zmlyc3Q=,,dGhpcmQ=\n")
    expected = (Secret("first"), None, Secret("third"))
    assert load(peer_router_passwords_file=str(path)).peer_router_passwords == expected
    both = load(peer_router_passwords_file=str(path), peer_router_passwords="b25l")
    assert both.peer_router_passwords == (Secret("one"),)


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    found = load(peer_router_passwords="c2VjcmV0")
    assert "secret" not in repr(found)
    assert "c2VjcmV0" not in repr(found)
    message = error(peer_router_passwords="not base64!")
    assert message == "--peer-router-passwords: the value is not a comma list of passwords in base64"
    path = tmp_path / "passwords"
    path.write_text("not base64!")
    assert "not base64" not in error(peer_router_passwords_file=str(path)).removeprefix(str(path))


def test_a_password_file_that_is_not_there_is_an_error() -> None:
    assert error(peer_router_passwords_file="/nowhere/x") == (
        "--peer-router-passwords-file: /nowhere/x cannot be read as text"
    )


def test_live_settings_are_adopted_and_the_others_wait_for_a_restart() -> None:
    before = load(node="a")
    newer = dataclasses.replace(before, cluster_asn=65000, log_level="debug", bird_socket=Path("/x"), metrics_port=1)
    adopted, waiting = before.adopt(newer)
    assert (adopted.cluster_asn, adopted.log_level) == (65000, "debug")
    assert (adopted.bird_socket, adopted.metrics_port) == (before.bird_socket, before.metrics_port)
    assert waiting == ("--metrics-port", "--bird-socket")
    assert before.adopt(before) == (before, ())


def test_the_routing_options_are_settings_of_the_same_name_and_default() -> None:
    assert load().routing() == RoutingOptions()
    assert load(cluster_asn="65000", advertise_cluster_ip="true").routing() == RoutingOptions(
        cluster_asn=65000, advertise_cluster_ip=True
    )


@pytest.mark.parametrize("entry", settings.table(), ids=lambda entry: entry.field)
def test_every_setting_has_a_help_and_a_default_that_reads_back(entry: settings.Setting) -> None:
    assert entry.help
    assert not entry.help.endswith(".")
    assert entry.kind.parse(entry.shown_default) == entry.default


@given(st.floats(min_value=0, max_value=10**7).map(lambda seconds: round(seconds, 3)))
def test_a_duration_reads_back_as_it_is_shown(seconds: float) -> None:
    assert values.parse_duration(values.show_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "5m5", "-5s", "1m1h", "5 m", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        values.parse_duration(text)
