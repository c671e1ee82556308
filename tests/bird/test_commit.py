"""The confirmed commit against every BIRD: what runs, what the files say, and what happens when something is wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from birdctl.errors import BackendError, NotConverged, Unavailable
from birdctl.routing import inventory as inventories
from birdctl.routing.bird import BirdSocket
from birdctl.routing.commit import BirdBackend
from birdctl.routing.history import digest_of
from birdctl.routing.protocol import Line
from tests.bird.daemon import Bird
from tests.bird.texts import FOREIGN, inventory, prefix, rendered
from tests.polling import eventually


def commit(backend: BirdBackend, digest: str, *blocks: str) -> bool:
    return backend.commit(rendered(digest, *blocks), inventory(digest)).changed


def main_digest(bird: Bird) -> str | None:
    return digest_of(bird.config.read_text())


def unconfirmed(bird: Bird) -> bool:
    return bird.request("configure status").text(22) is not None


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Makes something happen just before the next command that begins so is sent."""

    def arrange(command: str, happens: Callable[[], object]) -> None:
        stream = BirdSocket.stream
        pending = [happens]

        def interrupted(self: BirdSocket, sent: str, **options: object) -> list[Line]:
            if sent.startswith(command) and pending:
                pending.pop()()
            return list(stream(self, sent, **options))  # type: ignore[arg-type]

        monkeypatch.setattr(BirdSocket, "stream", interrupted)

    return arrange


def test_a_commit_runs_is_confirmed_and_becomes_the_main_file(bird: Bird, backend: BirdBackend, folder: Path) -> None:
    bird.start(FOREIGN)
    assert backend.status().digest is None
    assert commit(backend, "one", prefix("pods4", "10.1.0.0/24"))
    assert backend.status().digest == "one"
    assert not unconfirmed(bird)
    assert bird.config.read_text() == rendered("one", prefix("pods4", "10.1.0.0/24")).text
    assert not Path(f"{bird.config}.candidate").exists()
    assert inventories.read(folder / "run") == inventory("one")
    assert [(str(each.prefix), each.protocol) for each in backend.routes()] == [("10.1.0.0/24", "pods4")]


def test_a_commit_of_what_runs_changes_nothing(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    assert commit(backend, "one")
    reconfigured, written = backend.status().last_reconfiguration, bird.config.stat().st_mtime_ns
    assert not commit(backend, "one")
    assert backend.status().last_reconfiguration == reconfigured
    assert bird.config.stat().st_mtime_ns == written


def test_a_restarted_bird_runs_what_was_committed_last(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    bird.kill()
    bird.start()
    assert backend.status().digest == "one"


def test_a_main_file_that_was_lost_or_edited_is_mended(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    bird.config.unlink()
    assert not commit(backend, "one")
    assert main_digest(bird) == "one"
    bird.config.write_text("edited by hand\n")
    assert not commit(backend, "one")
    assert main_digest(bird) == "one"
    assert len(backend.history()) == 1


def test_a_lost_inventory_is_mended(bird: Bird, backend: BirdBackend, folder: Path) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    inventories.path(folder / "run").unlink()
    assert not commit(backend, "one")
    assert inventories.read(folder / "run") == inventory("one")


def test_the_files_belong_to_the_owner_of_the_folder_which_is_birds_user(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    os.chown(bird.config.parent, 65534, 65534)
    commit(backend, "one")
    assert (bird.config.stat().st_uid, bird.config.stat().st_gid) == (65534, 65534)
    assert bird.config.stat().st_mode & 0o777 == 0o600


def test_a_text_that_bird_refuses_changes_nothing_and_the_error_leads_to_it(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    broken = '# BGPPeer tor1\nprotocol bgp peer_tor1 {\n  password "s3cret"; nonsense;\n}'
    with pytest.raises(BackendError, match=r"line 7, .*`protocol bgp peer_tor1` \(BGPPeer tor1\)") as caught:
        commit(backend, "two", broken)
    assert "s3cret" not in str(caught.value)
    assert backend.status().digest == "one"
    assert main_digest(bird) == "one"
    assert not unconfirmed(bird)
    assert commit(backend, "three")


def test_a_commit_that_nobody_confirms_is_undone_by_bird(
    bird: Bird, folder: Path, before: Callable[[str, Callable[[], object]], None]
) -> None:
    """The agent's own death is in test_crash.py; here its confirm never arrives."""
    bird.start(FOREIGN)
    backend = BirdBackend(bird.socket, bird.config, folder / "run", 1)
    commit(backend, "one")

    def wait_until_undone() -> None:
        eventually(lambda: backend.status().digest == "one")

    before("configure confirm", wait_until_undone)
    with pytest.raises(NotConverged, match="undid two before it was confirmed"):
        commit(backend, "two")
    assert main_digest(bird) == "one"
    assert commit(backend, "two")


def test_a_bird_that_restarts_in_the_middle_runs_the_last_good_one(
    bird: Bird, backend: BirdBackend, before: Callable[[str, Callable[[], object]], None]
) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")

    def restart() -> None:
        bird.kill()
        bird.start()

    for command in ("configure check", 'configure "', "eval", "configure confirm"):
        before(command, restart)
        with pytest.raises(Unavailable):
            commit(backend, "two")
        assert backend.status().digest == main_digest(bird) == "one"
    assert commit(backend, "two")


def test_a_bird_that_is_gone_in_the_middle_is_unavailable(
    bird: Bird, backend: BirdBackend, before: Callable[[str, Callable[[], object]], None]
) -> None:
    bird.start(FOREIGN)
    before("configure confirm", bird.kill)
    with pytest.raises(Unavailable):
        commit(backend, "one")
    with pytest.raises(Unavailable, match="nobody listens"):
        commit(backend, "one")
    bird.start()
    assert backend.status().digest is None
    assert commit(backend, "one")


def test_a_hang_up_signal_in_the_middle_goes_back_to_the_main_file(
    bird: Bird, backend: BirdBackend, before: Callable[[str, Callable[[], object]], None]
) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")

    def hang_up() -> None:
        bird.send_signal(signal.SIGHUP)
        eventually(lambda: bird.request("eval BIRDCTL_DIGEST").text(23) == "one")

    before("eval", lambda: before("eval", hang_up))  # the second: after the switch
    with pytest.raises(NotConverged, match="BIRD runs one instead of two"):
        commit(backend, "two")
    assert main_digest(bird) == "one"
    assert commit(backend, "two")
    assert main_digest(bird) == "two"


def test_a_foreign_configure_in_the_middle_is_told_and_not_undone(
    bird: Bird, backend: BirdBackend, folder: Path, before: Callable[[str, Callable[[], object]], None]
) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    foreign = folder / "foreign.conf"
    foreign.write_text(FOREIGN)
    before("eval", lambda: before("eval", lambda: bird.request(f'configure "{foreign}"')))
    with pytest.raises(NotConverged, match="configuration of somebody else"):
        commit(backend, "two")
    assert backend.status().digest is None
    assert main_digest(bird) == "one"
    assert commit(backend, "two")


def test_somebody_elses_unconfirmed_change_is_left_alone(bird: Bird, backend: BirdBackend, folder: Path) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    foreign = folder / "foreign.conf"
    foreign.write_text(FOREIGN)
    bird.request(f'configure "{foreign}" timeout 60')
    with pytest.raises(Unavailable, match=r"somebody else's change .* undo in \d+"):
        commit(backend, "two")
    assert unconfirmed(bird)
    bird.request("configure undo")
    assert commit(backend, "two")


def test_what_a_dead_birdctl_left_unconfirmed_is_undone_at_once(bird: Bird, backend: BirdBackend, folder: Path) -> None:
    bird.start(FOREIGN)
    commit(backend, "one")
    left = folder / "left.conf"
    left.write_text(rendered("two").text)
    bird.request(f'configure "{left}" timeout 60')
    assert commit(backend, "three")
    assert not unconfirmed(bird)
    bird.request("configure undo")
    assert backend.status().digest == "one"


def test_commits_of_several_processes_come_one_after_the_other(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    children = []
    for name in "abc":
        if (child := os.fork()) == 0:
            failed = 1
            try:
                for number in range(5):
                    commit(backend, f"{name}{number}", prefix(f"p_{name}", f"10.{number}.0.0/16"))
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    running = backend.status().digest
    assert running == main_digest(bird)
    assert running in {"a4", "b4", "c4"}
    assert [each.digest for each in backend.history() if each.running] == [running]
    assert not unconfirmed(bird)


def test_a_bird_that_does_not_answer_is_unavailable_and_untouched(
    bird: Bird, backend: BirdBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    bird.start(FOREIGN)
    monkeypatch.setitem(BirdSocket.__init__.__kwdefaults__, "timeout", 0.2)
    bird.send_signal(signal.SIGSTOP)
    with pytest.raises(Unavailable, match=r"within 0.2 s"):
        commit(backend, "one")
    bird.send_signal(signal.SIGCONT)
    assert commit(backend, "one")


def test_a_bird_without_a_socket_is_unavailable(bird: Bird, backend: BirdBackend) -> None:
    assert not bird.socket.exists()
    for ask in (backend.status, backend.sessions, backend.bfd, backend.routes, backend.history):
        with pytest.raises(Unavailable, match="does not exist"):
            ask()
    with pytest.raises(Unavailable):
        commit(backend, "one")
