"""What doctor says of one thing at a time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.cli import checks
from birdctl.settings import Settings


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ((1, 6, 8), "error"),
        ((2, 0, 11), "error"),
        ((2, 0, 12), "warning"),
        ((2, 17, 5), "warning"),
        ((2, 17, 6), "ok"),
        ((2, 18, 2), "warning"),
        ((2, 18, 3), "ok"),
        ((2, 19), "warning"),
        ((2, 20), "ok"),
        ((3, 0, 9), "warning"),
        ((3, 1, 7), "warning"),
        ((3, 1, 8), "ok"),
        ((3, 3, 2), "ok"),
        ((3, 4), "ok"),
    ],
)
def test_versions_without_the_security_fixes_are_warned_of(version: tuple[int, ...], result: str) -> None:
    assert checks.version(version).result == result


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /proc."""
    monkeypatch.setattr(checks, "PROC", tmp_path / "proc")
    return tmp_path / "proc"


GLOBAL = "fd000000000000000000000000000001 02 40 00 80     eth0"
LINK_LOCAL = "fe800000000000000000000000000001 02 40 20 80     eth0"


def put(proc: Path, name: str, value: str) -> None:
    """A file of /proc, or a sysctl by its dotted name."""
    path = proc / name if "/" in name else proc.joinpath("sys", *name.split("."))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


@pytest.mark.parametrize(("value", "result"), [("1", "ok"), ("0", "error"), (None, "error")])
def test_forwarding_must_be_on(proc: Path, value: str | None, result: str) -> None:
    if value:
        put(proc, "net.ipv4.ip_forward", value)
    found = checks.forwarding("IPv4 forwarding", "net.ipv4.ip_forward")
    assert found.result == result
    assert found.fix in (None, "sysctl -w net.ipv4.ip_forward=1")


def test_a_strict_reverse_path_filter_is_warned_of_by_interface(proc: Path) -> None:
    for name, value in {"all": "0", "default": "1", "lo": "1", "eth0": "1", "eth1": "2", "eth2": "1"}.items():
        put(proc, f"net.ipv4.conf.{name}.rp_filter", value)
    found = checks.reverse_path_filter()
    assert found.result == "warning"
    assert found.fix == "sysctl -w net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth2.rp_filter=2"


@pytest.mark.parametrize(("value", "result"), [("0", "warning"), ("1", "ok"), ("2", "ok"), (None, "error")])
def test_multipath_by_connection(proc: Path, value: str | None, result: str) -> None:
    if value:
        put(proc, "net.ipv4.fib_multipath_hash_policy", value)
    assert checks.multipath_hash("net.ipv4.fib_multipath_hash_policy").result == result


@pytest.mark.parametrize(("value", "result"), [("0", "ok"), ("1", "warning"), (None, "warning")])
def test_ipv6_is_wanted_unless_switched_off_here(proc: Path, value: str | None, result: str) -> None:
    if value:
        put(proc, "net.ipv6.conf.all.disable_ipv6", value)
    assert checks.ipv6().result == result
    put(proc, "net/if_inet6", GLOBAL)
    families = {check.check for check in checks.kernel(Settings(enable_ipv6=False))}
    assert not {"IPv6", "IPv6 forwarding", "IPv6 multipath"} & families


def test_md5_is_tried_and_this_kernel_has_it() -> None:
    assert checks.tcp_md5().result == "ok"


def test_the_folder_of_the_configuration_must_take_a_new_file(proc: Path, tmp_path: Path) -> None:
    def result(config: Path) -> tuple[str, str | None]:
        found = checks.bird_files(config)
        return found.result, found.fix

    mounted = tmp_path / "mounted.conf"
    put(proc, "self/mountinfo", f"24 1 0:22 / {mounted} rw - ext4 /dev/sda1 rw")
    assert result(tmp_path / "bird.conf") == ("ok", None)
    assert result(tmp_path / "nowhere" / "bird.conf")[0] == "error"
    assert result(mounted) == ("error", f"mount the folder {tmp_path} instead of the file")


def test_a_socket_for_everybody_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bird.ctl"
    path.touch()
    path.chmod(0o660)
    assert checks.socket_mode(path).result == "ok"
    path.chmod(0o666)
    found = checks.socket_mode(path)
    assert (found.result, found.fix and found.fix.split(",")[0]) == ("error", f"chmod o-rwx {path}")


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_another_process_on_the_port_is_named(listener: int, tmp_path: Path) -> None:
    found = checks.port(listener, tmp_path / "bird.ctl")
    assert found.result == "error"
    assert "(process " in found.found


def test_a_free_port_is_ok(listener: int, tmp_path: Path) -> None:
    assert checks.port(listener - 1, tmp_path / "bird.ctl").found in ("free", "BIRD listens on it")


def test_a_missing_bird_and_agent_are_said_with_the_fix(tmp_path: Path) -> None:
    settings = Settings(bird_socket=tmp_path / "bird.ctl", runtime_dir=tmp_path)
    (bird,) = checks.bird(settings)
    (agent,) = checks.agent(settings)
    assert (bird.result, agent.result) == ("error", "warning")
    assert str(tmp_path / "bird.ctl") in (bird.fix or "")


@pytest.mark.parametrize(("addresses", "asked"), [(LINK_LOCAL, False), (f"{LINK_LOCAL}\n{GLOBAL}", True)])
def test_ipv6_need_not_be_forwarded_where_nothing_has_an_address_of_it(proc: Path, addresses: str, asked: bool) -> None:
    put(proc, "net/if_inet6", addresses)
    assert ("IPv6 forwarding" in {check.check for check in checks.kernel(Settings())}) is asked
