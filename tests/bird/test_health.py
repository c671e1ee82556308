"""A commit that costs a session nobody announced is undone: two real BIRDs with a cable between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from birdctl.errors import BackendError, UnsafePlan
from birdctl.routing import commit as commits
from birdctl.routing.commit import BirdBackend
from birdctl.routing.history import digest_of
from tests.bird.conftest import NewBird
from tests.bird.daemon import Bird, Namespace
from tests.bird.texts import FOREIGN, inventory, prefix, rendered, session
from tests.birds import BirdProgram
from tests.polling import eventually

TO_PEER = session("to_peer", "10.0.0.1", "10.0.0.2")
PEER = "router id 10.0.0.2;\nprotocol device { }\n"


@pytest.fixture
def peer(namespace: Namespace, new_bird: NewBird, bird_version: BirdProgram) -> Iterator[Bird]:
    with Namespace() as other:
        namespace.link(other, "10.0.0.1/24", "10.0.0.2/24")
        yield new_bird(bird_version, other, "peer").start(PEER + session("to_us", "10.0.0.2", "10.0.0.1"))


@pytest.fixture
def connected(bird: Bird, backend: BirdBackend, peer: Bird) -> BirdBackend:
    """Runs `one` with an Established session."""
    assert peer.program == bird.program
    bird.start(FOREIGN)
    backend.commit(rendered("one", TO_PEER), inventory("one"))
    eventually(lambda: bird.established("to_peer"))
    return backend


def up(backend: BirdBackend) -> set[str]:
    return {each.protocol for each in backend.sessions() if each.state == "Established"}


def test_a_session_that_stays_up_lets_the_commit_through(connected: BirdBackend) -> None:
    uptime = connected.sessions()[0].uptime
    connected.commit(rendered("two", TO_PEER, prefix("pods4", "10.1.0.0/24")), inventory("two"))
    assert up(connected) == {"to_peer"}
    assert uptime is not None
    assert (connected.sessions()[0].uptime or 0) >= uptime
    (sent,) = eventually(lambda: connected.routes(exported_to="to_peer"))
    assert str(sent.prefix) == "10.1.0.0/24"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(session("to_peer", "10.0.0.1", "10.0.0.2", asn=65009, more="multihop;"), id="wrong AS"),
        pytest.param(session("to_peer", "10.0.0.1", "10.0.0.2", more="hold time 33;"), id="restart"),
        pytest.param(session("renamed", "10.0.0.1", "10.0.0.2"), id="renamed"),
        pytest.param("", id="removed"),
    ],
)
def test_a_lost_session_undoes_the_commit(
    connected: BirdBackend, bird: Bird, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(commits, "_PATIENCE", 0.2)
    with pytest.raises(BackendError, match=r"undone: the configuration cost 1 session \(to_peer\)"):
        connected.commit(rendered("two", change), inventory("two"))
    assert connected.status().digest == digest_of(bird.config.read_text()) == "one"
    assert bird.request("configure status").text(22) is None
    eventually(lambda: up(connected) == {"to_peer"})


def test_a_main_file_that_was_broken_meanwhile_does_not_stop_the_undo(
    connected: BirdBackend, bird: Bird, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_PATIENCE", 0.2)
    bird.config.write_text(bird.config.read_text() + "edited by hand\n")
    with pytest.raises(BackendError, match="undone"):
        connected.commit(rendered("two"), inventory("two"))
    assert connected.status().digest == "one"
    assert bird.request("configure status").text(22) is None


def test_a_session_that_comes_back_in_time_is_not_lost(connected: BirdBackend) -> None:
    restarted = session("to_peer", "10.0.0.1", "10.0.0.2", more="hold time 33;")
    result = connected.commit(rendered("two", restarted), inventory("two"))
    assert result.seconds > 0.5  # BIRD's own connect delay
    assert up(connected) == {"to_peer"}


def test_a_session_that_its_new_limit_ends_on_probation_undoes_the_commit(connected: BirdBackend, peer: Bird) -> None:
    """BIRD counts the routes again only after the reconfiguration, when the peer has sent them once more."""
    routes = prefix("pods4", "10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24")
    peer.config.write_text(PEER + session("to_us", "10.0.0.2", "10.0.0.1") + routes)
    peer.request("configure")
    eventually(lambda: len(connected.routes(protocol="to_peer")) == 3)
    limited = TO_PEER.replace("import all;", "import limit 2 action disable; import where true;")

    with pytest.raises(BackendError, match=r"undone: the configuration cost 1 session \(to_peer\)"):
        connected.commit(rendered("two", limited), inventory("two"), probation=2.0)

    assert connected.status().digest == "one"


def test_an_announced_loss_is_no_loss(connected: BirdBackend) -> None:
    connected.commit(rendered("two"), inventory("two"), expected_losses={"to_peer"})
    assert connected.status().digest == "two"


def test_sessions_of_a_foreign_configuration_are_not_taken_over_unasked(connected: BirdBackend, bird: Bird) -> None:
    bird.config.write_text(FOREIGN + TO_PEER)
    bird.request("configure")
    assert up(connected) == {"to_peer"}
    with pytest.raises(UnsafePlan, match=r"somebody else's configuration with 1 session \(to_peer\)"):
        connected.commit(rendered("two"), inventory("two"))
    assert up(connected) == {"to_peer"}
    assert connected.status().digest is None
    connected.commit(rendered("two"), inventory("two"), expected_losses=None)
    assert connected.status().digest == "two"


def test_a_session_that_was_down_before_is_nobodys_fault(connected: BirdBackend, peer: Bird) -> None:
    peer.kill()
    eventually(lambda: not up(connected))
    connected.commit(rendered("two", TO_PEER, prefix("pods4", "10.1.0.0/24")), inventory("two"))
    assert connected.status().digest == "two"


def test_a_rollback_may_cost_sessions(connected: BirdBackend) -> None:
    connected.commit(rendered("two"), inventory("two"), expected_losses={"to_peer"})
    connected.rollback()
    assert connected.status().digest == "one"
    eventually(lambda: up(connected) == {"to_peer"})
    connected.rollback()
    assert connected.status().digest == "two"


def test_the_session_of_an_unnumbered_peer_goes_by_its_name(
    bird: Bird,
    backend: BirdBackend,
    namespace: Namespace,
    new_bird: NewBird,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commits, "_PATIENCE", 0.2)
    unnumbered = (
        'protocol bgp tor1 { local as 64512; neighbor range fe80::/10 as 65001; interface "eth0";'
        ' dynamic name "tor1_"; ipv6 { import all; export none; }; }'
    )
    to_us = (
        "protocol bgp to_us { local fe80::2%eth0 as 65001; neighbor fe80::1%eth0 as 64512; connect delay time 1;"
        " error wait time 1, 1; ipv6 { import all; export none; }; }"
    )
    with Namespace() as other:
        namespace.link(other, "fe80::1/64", "fe80::2/64")
        new_bird(bird.program, other, "peer").start(PEER + to_us)
        bird.start(FOREIGN)
        backend.commit(rendered("one", unnumbered), inventory("one"))
        eventually(lambda: up(backend) == {"tor1_1"})
        with pytest.raises(BackendError, match=r"cost 2 sessions \(tor1, tor1_1\)"):
            backend.commit(rendered("two"), inventory("two"))
        eventually(lambda: up(backend) == {"tor1_1"})
        backend.commit(rendered("two"), inventory("two"), expected_losses={"tor1"})
