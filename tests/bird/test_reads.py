"""What the backend reads from running BIRDs."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from birdctl.errors import BackendError, Unavailable
from birdctl.routing.bird import BirdSocket
from birdctl.routing.commit import BirdBackend
from birdctl.routing.readback_routes import STOPPED, routes
from birdctl.routing.render import TEMPLATES
from tests.bird.daemon import Bird
from tests.bird.texts import FOREIGN, inventory, prefix, rendered, session

TABLES = "\n".join(
    (
        FOREIGN,
        "ipv4 table other4;",
        prefix("pods4", "10.1.0.0/24", "10.1.1.0/24"),
        "protocol static elsewhere4 { ipv4 { table other4; }; route 10.9.0.0/24 blackhole; }",
        session("silent", "127.0.0.1", "127.0.0.99"),
    )
)


def many(count: int) -> str:
    return prefix("many4", *(f"20.{number >> 8}.{number & 255}.0/24" for number in range(count)))


def prefixes(backend: BirdBackend, **selection: object) -> set[str]:
    return {str(each.prefix) for each in backend.routes(**selection)}  # type: ignore[arg-type]


def test_the_status_is_that_of_the_daemon(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    status = backend.status()
    assert status.version == bird.program.version
    assert (status.router_id, status.digest, status.recovering) == ("10.0.0.1", None, False)
    assert 0 <= status.uptime < 60


def test_a_session_without_a_peer_is_read_as_such(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    (found,) = backend.sessions()
    assert (found.protocol, found.remote_asn, found.uptime) == ("silent", 64512, None)
    assert found.state in {"Idle", "Connect", "Active"}


def test_routes_are_selected_by_table_prefix_and_protocol(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    assert prefixes(backend) == {"10.1.0.0/24", "10.1.1.0/24"}
    assert prefixes(backend, table="other4") == {"10.9.0.0/24"}
    assert prefixes(backend, prefix=ip_network("10.1.1.0/24")) == {"10.1.1.0/24"}
    assert prefixes(backend, prefix=ip_network("10.7.0.0/24")) == set()
    assert prefixes(backend, protocol="pods4") == {"10.1.0.0/24", "10.1.1.0/24"}
    assert prefixes(backend, protocol="silent") == set()


def test_a_session_that_is_down_is_sent_nothing(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    assert prefixes(backend, exported_to="silent") == set()


def test_an_unknown_protocol_is_an_error_in_birds_words(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    with pytest.raises(BackendError, match="BIRD refused"):
        backend.routes(protocol="nobody")


def test_a_name_is_never_more_than_a_name(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    for name in ("pods4' all", "a b", "", "x\nconfigure"):
        with pytest.raises(BackendError, match="no name"):
            backend.routes(protocol=name or "''")


def test_without_a_bfd_protocol_there_are_no_bfd_sessions(bird: Bird, backend: BirdBackend) -> None:
    bird.start(TABLES)
    assert backend.bfd() == ()


def test_a_reader_may_change_nothing(bird: Bird) -> None:
    bird.start(TABLES)
    with BirdSocket(bird.socket) as reader, pytest.raises(BackendError, match="Access denied"):
        reader.request("configure")


def test_a_large_table_is_read_whole(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN + many(20_000))
    assert len(backend.routes()) == 20_000


def test_a_table_that_a_reconfiguration_breaks_off_is_no_answer(bird: Bird, folder: Path) -> None:
    bird.start(FOREIGN + many(20_000))
    other = folder / "other.conf"
    other.write_text(FOREIGN + many(10))
    with BirdSocket(bird.socket) as reader:
        lines = reader.stream("show route all", allow=(STOPPED,))
        next(lines)
        bird.request(f'configure "{other}"')
        rest = list(lines)
    assert rest[-1].last
    if rest[-1].code == STOPPED:
        with pytest.raises(Unavailable, match="broke off"):
            list(routes(rest))
    else:
        assert bird.program.version >= (3,)


def test_a_reply_that_a_dying_bird_cuts_off_is_unavailable(bird: Bird) -> None:
    bird.start(FOREIGN + many(20_000))
    with BirdSocket(bird.socket) as reader:
        lines = reader.stream("show route all")
        next(lines)
        bird.kill()
        with pytest.raises(Unavailable, match=r"show route all"):
            list(routes(lines))


def test_a_bird_starts_from_the_bootstrap_file_and_takes_the_first_commit(bird: Bird, backend: BirdBackend) -> None:
    bird.start((TEMPLATES / "bootstrap.conf").read_text())
    assert backend.status().digest is None
    assert backend.commit(rendered("one"), inventory("one")).changed
    assert backend.status().router_id == "10.0.0.1"
