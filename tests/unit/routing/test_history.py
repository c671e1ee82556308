"""The files of a configuration: candidate, main file, history."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdctl.errors import BackendError
from birdctl.routing import inventory as inventories
from birdctl.routing.history import KEPT, ConfigFiles, digest_of
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.model import PeerType


def text(digest: str) -> str:
    return f'# ours\ndefine BIRDCTL_DIGEST = "{digest}";\npassword "s3cret";\n'


def inventory(digest: str, sessions: int = 0) -> Inventory:
    names = SessionNames(peer="n", type=PeerType.MESH, origin="Node n", remote_asn=1, local_asn=1)
    return Inventory(
        node="a",
        digest=digest,
        version=(2,),
        router_id="10.0.0.1",
        sessions={f"node_{number}": names for number in range(sessions)},
        originated={"pods4": {"10.1.0.0/24": "pod"}},
    )


@pytest.fixture
def files(tmp_path: Path) -> ConfigFiles:
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird/bird.conf").write_text("router id 1.2.3.4;\n")
    return ConfigFiles(tmp_path / "bird/bird.conf", tmp_path / "run")


def commit(files: ConfigFiles, digest: str, sessions: int = 0) -> None:
    files.stage(text(digest), inventory(digest, sessions))
    files.promote(digest)


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (text("0123abc"), "0123abc"),
        ("router id 1.2.3.4;\n", None),
        ('# define BIRDCTL_DIGEST = "no";\n', None),
        ("", None),
    ],
)
def test_a_text_of_ours_names_its_digest(content: str, digest: str | None) -> None:
    assert digest_of(content) == digest


def test_a_candidate_is_not_the_main_file_before_it_runs(files: ConfigFiles) -> None:
    files.stage(text("one"), inventory("one"))
    for running in (None, "another"):
        files.promote(running)
        assert digest_of(files.main.read_text()) is None
    assert files.candidate.read_text() == text("one")
    assert files.entries("another") == ()


def test_the_candidate_that_runs_becomes_the_main_file_and_history(files: ConfigFiles, tmp_path: Path) -> None:
    commit(files, "one", sessions=3)
    assert files.main.read_text() == text("one")
    assert not files.candidate.exists()
    assert inventories.read(tmp_path / "run") == inventory("one", 3)
    (entry,) = files.entries("one")
    assert (entry.number, entry.digest, entry.sessions, entry.prefixes, entry.running) == (1, "one", 3, 1, True)
    assert entry.time == pytest.approx(files.main.stat().st_mtime, abs=5)


def test_promoting_again_changes_nothing(files: ConfigFiles) -> None:
    commit(files, "one")
    files.promote("one")
    assert len(files.entries("one")) == 1


def test_the_history_is_newest_first_and_bounded(files: ConfigFiles) -> None:
    for number in range(KEPT + 5):
        commit(files, f"d{number}")
    entries = files.entries("d14")
    assert [each.digest for each in entries] == [f"d{number}" for number in range(KEPT + 4, 4, -1)]
    assert [each.running for each in entries] == [True] + [False] * (KEPT - 1)


def test_a_configuration_that_comes_back_moves_to_the_top(files: ConfigFiles) -> None:
    for digest in ("one", "two", "one"):
        commit(files, digest)
    assert [(each.number, each.digest) for each in files.entries("one")] == [(3, "one"), (2, "two")]


def test_an_entry_gives_back_text_and_inventory(files: ConfigFiles) -> None:
    commit(files, "one", sessions=2)
    commit(files, "two")
    assert files.entry(1) == (text("one"), inventory("one", 2))
    with pytest.raises(BackendError, match="no configuration 7"):
        files.entry(7)


def test_a_text_is_found_wherever_it_is_kept(files: ConfigFiles) -> None:
    commit(files, "one")
    commit(files, "two")
    files.stage(text("three"), inventory("three"))
    assert [files.text(each) for each in ("one", "two", "three")] == [text("one"), text("two"), text("three")]
    assert files.text("four") is None


def test_passwords_are_for_the_owner_alone(files: ConfigFiles, tmp_path: Path) -> None:
    commit(files, "one")
    files.stage(text("two"), inventory("two"))
    secret = [path for path in tmp_path.rglob("*") if path.is_file() and "s3cret" in path.read_text()]
    assert len(secret) == 3
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_files_that_are_there_already_are_recognised(files: ConfigFiles) -> None:
    assert not files.holds(text("one"), inventory("one"))
    commit(files, "one")
    assert files.holds(text("one"), inventory("one"))
    assert not files.holds(text("one"), inventory("one", 1))
    files.main.write_text("edited by hand\n")
    assert not files.holds(text("one"), inventory("one"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path / "missing/bird.conf", tmp_path / "run")
    with pytest.raises(BackendError, match=r"cannot write .*missing/bird.conf.candidate.new: No such file"):
        files.stage(text("one"), inventory("one"))


@pytest.mark.parametrize("name", ["bird/bird.conf.candidate", "run/history/staged/inventory.json"])
def test_a_full_disk_is_one_clear_error_and_what_was_written_before_stays(
    files: ConfigFiles, tmp_path: Path, name: str
) -> None:
    commit(files, "one")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new") if path.suffix == ".json" else path.with_name(f"{path.name}.new")
    new.symlink_to("/dev/full")
    with pytest.raises(BackendError, match=rf"cannot write .*{path.name}: No space left on device"):
        files.stage(text("two"), inventory("two"))
    assert files.main.read_text() == text("one")
    assert inventories.read(tmp_path / "run") == inventory("one")


def test_what_bird_runs_without_birdctl_replaces_main_file_and_candidate(files: ConfigFiles) -> None:
    files.stage(text("one"), inventory("one"))
    files.main.unlink()
    files.overwrite(text("none"))
    assert files.main.read_text() == text("none")
    assert files.main.stat().st_mode & 0o777 == 0o600
    assert not files.candidate.exists()


def test_a_runtime_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"cannot write .*file/run: Not a directory"):
        ConfigFiles(tmp_path / "bird.conf", tmp_path / "file/run").lock()


def test_a_folder_left_by_a_crash_is_no_entry_and_no_obstacle(files: ConfigFiles, tmp_path: Path) -> None:
    (tmp_path / "run/history/000001-half").mkdir(parents=True)
    commit(files, "one")
    assert [each.digest for each in files.entries("one")] == ["one"]
