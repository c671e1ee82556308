"""What recorded replies of every supported BIRD say, as states."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.routing import readback
from birdctl.routing.protocol import Reply
from birdctl.routing.state import ChannelState, SessionState
from tests.unit.routing.recorded import VERSIONS, lines, now, reply

NOON = datetime.fromisoformat("2026-11-21 12:00:00")

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def session(version: str, name: str, source: str = "protocols-all") -> SessionState:
    found = {each.protocol: each for each in readback.sessions(lines(version, source), now(version))}
    return found[name]


def test_the_status_names_version_router_id_and_digest(version: str) -> None:
    status = readback.clock(f"BIRD {version} ready.", reply(version, "status"), "abc").status
    assert ".".join(map(str, status.version)) == version
    assert status.router_id == "10.0.0.1"
    assert status.digest == "abc"
    assert 0 < status.uptime < 60
    assert status.last_reconfiguration.startswith("2026-")
    assert not status.recovering


def test_a_bird_that_waits_for_its_peers_after_a_restart_is_recovering(version: str) -> None:
    assert readback.clock(f"BIRD {version} ready.", reply(version, "status-recovering"), None).status.recovering


def test_a_status_without_a_time_is_an_error(version: str) -> None:
    lines_ = tuple(line for line in reply(version, "status").lines if "server time" not in line.text)
    with pytest.raises(BackendError, match="timeformat"):
        readback.clock("BIRD", Reply(lines_), None)


def test_the_digest_is_that_of_the_running_configuration_if_it_is_ours(version: str) -> None:
    assert readback.digest(reply(version, "eval")) == "0123456789abcdef"
    assert readback.digest(reply(version, "eval-undefined")) is None


@pytest.mark.parametrize(
    ("name", "state", "bird_state"),
    [
        ("node_both", "Established", "Established"),
        ("node_passive", "Active", "Passive"),
        ("node_wrong_as", "Idle", "Idle"),
        ("node_off", "Idle", "Down"),
        ("node_down_limit", "Idle", "Down"),
        ("range5", "Active", "Passive"),
        ("range4_1", "Established", "Established"),
    ],
)
def test_states_are_rfc_4271_words(version: str, name: str, state: str, bird_state: str) -> None:
    found = session(version, name)
    assert (found.state, found.bird_state) == (state, bird_state)


def test_only_bgp_protocols_are_sessions(version: str) -> None:
    found = {each.protocol for each in readback.sessions(lines(version, "protocols-all"), now(version))}
    assert found == {
        "node_both",
        "node_limit",
        "node_link_local",
        "node_passive",
        "node_silent",
        "node_refused",
        "node_wrong_as",
        "node_off",
        "node_down_limit",
        "range5",
        "range4_1",
    }


def test_an_established_session_has_its_two_ends_times_and_counts(version: str) -> None:
    found = session(version, "node_both")
    assert found.address == ip_address("10.0.0.2")
    assert found.interface is None
    assert (found.local_asn, found.remote_asn, found.router_id) == (64512, 64512, "10.0.0.2")
    assert found.hold_time == 240
    assert found.uptime is not None
    assert 0 < found.uptime < 10
    assert found.end_of_rib
    assert found.channels == (
        ChannelState(family=Family.IPV4, received=4, filtered=1, accepted=3, advertised=2, limit=100),
        ChannelState(family=Family.IPV6, received=1, filtered=0, accepted=1, advertised=1),
    )


def test_a_link_local_peer_has_its_interface(version: str) -> None:
    found = session(version, "node_link_local")
    assert (found.address, found.interface) == (ip_address("fe80::2"), "eth0")


def test_a_peer_of_a_range_has_no_address_before_it_comes(version: str) -> None:
    assert session(version, "range5").address is None
    assert session(version, "range4_1").address == ip_address("10.0.0.19")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("node_refused", "Socket: Connection refused"),
        ("node_wrong_as", "BGP Error: Bad peer AS"),
        ("node_down_limit", "Automatic shutdown: Route limit exceeded"),
        ("node_both", ""),
        ("node_off", ""),
    ],
)
def test_the_last_error_is_birds_text(version: str, name: str, error: str) -> None:
    assert session(version, name).last_error == error


@pytest.mark.parametrize("name", ["node_passive", "node_refused", "node_wrong_as", "node_off", "node_down_limit"])
def test_a_session_that_is_not_established_has_no_uptime_and_no_hold_time(version: str, name: str) -> None:
    found = session(version, name)
    assert (found.uptime, found.hold_time, found.end_of_rib) == (None, None, False)


@pytest.mark.parametrize(("name", "limit", "accepted"), [("node_limit", 2, 2), ("node_down_limit", 1, 0)])
def test_a_limit_that_was_hit_is_a_number_still(version: str, name: str, limit: int, accepted: int) -> None:
    (channel,) = session(version, name).channels
    assert (channel.limit, channel.accepted) == (limit, accepted)


def test_an_iso_timeformat_gives_the_same_sessions(version: str) -> None:
    def without_times(source: str) -> dict[str, tuple[object, ...]]:
        found = readback.sessions(lines(version, source), now(version))
        return {each.protocol: (each.address, each.channels, each.end_of_rib) for each in found}

    assert without_times("protocols-all-iso") == without_times("protocols-all")
    assert session(version, "node_both", "protocols-all-iso").uptime is not None


def test_no_session_has_seen_the_end_of_rib_just_after_a_restart(version: str) -> None:
    found = readback.sessions(lines(version, "protocols-all-recovering"), now(version))
    assert not any(each.end_of_rib for each in found)


def test_an_established_session_may_still_wait_for_the_peers_end_of_rib(version: str) -> None:
    found = session(version, "node_both", "protocols-all-waiting")
    assert (found.state, found.end_of_rib) == ("Established", False)


def test_bgp_protocols_that_are_up_are_established(version: str) -> None:
    found = readback.established(lines(version, "protocols"))
    assert found == {"node_both", "node_limit", "node_link_local", "range4", "range4_1"}


def test_bfd_sessions_are_found_by_their_column_titles(version: str) -> None:
    found = {str(each.address): each for each in readback.bfd(lines(version, "bfd"), now(version))}
    assert sorted(found) == ["10.0.0.2", "10.0.0.99"]
    up, down = found["10.0.0.2"], found["10.0.0.99"]
    assert (up.state, up.interface, up.interval, up.timeout) == ("up", "", 0.1, 0.5)
    assert (down.state, down.timeout) == ("down", 0.0)
    assert up.since is not None
    assert 0 <= up.since < 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21 11:59:58.500", 1.5),
        ("2026-11-21 11:59:58", 2.0),
        ("11:59:58.500", 1.5),
        ("11:59:58", 2.0),
        ("23:00:00.000", 13 * 3600.0),  # yesterday
        ("2026-11-19", 2.5 * 86400),
        ("2026-11-21 12:00:01.000", 0.0),  # the two clocks were read one after the other
        ("", None),
        ("Nov21", None),
    ],
)
def test_an_age_is_read_from_every_format_of_birds_times(version: str, text: str, seconds: float | None) -> None:
    assert version
    assert readback.seconds_since(text, NOON) == seconds


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        ("BIRD 2.0.12 ready.", (2, 0, 12)),
        ("BIRD 3.1.7 ready.", (3, 1, 7)),
        ("BIRD v2.18+branch.mq.abc ready.", (2, 18)),
        ("hello", ()),
    ],
)
def test_the_greeting_names_the_version(version: str, greeting: str, expected: tuple[int, ...]) -> None:
    assert version
    assert readback.version(greeting) == expected
