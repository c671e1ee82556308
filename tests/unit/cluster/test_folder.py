"""A folder of manifests, read once and watched."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from birdctl.cluster.decode import decode_text
from birdctl.cluster.events import Event
from birdctl.cluster.folder import FolderSource, load_folder
from birdctl.cluster.manifests import ALL_TYPES, Manifests
from birdctl.cluster.objects import Node, Object
from birdctl.cluster.store import Cluster
from birdctl.errors import Unavailable
from tests.polling import eventually


def node(name: str, cidr: str = "10.1.0.0/24") -> str:
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": cidr}}, explicit_start=True
    )


class Watched:
    """A started source with the store it fills."""

    def __init__(self, path: Path) -> None:
        self.source = FolderSource(path)
        self.events: list[Event] = []
        self._cluster = Cluster()
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)
            self._cluster.apply(event)

    def nodes(self) -> dict[str, str]:
        with self._lock:
            return {name: item.spec.pod_cidr for name, item in self._cluster.objects(Node).items()}

    def errors(self) -> list[str]:
        with self._lock:
            return sorted(map(str, self._cluster.errors.values()))

    def has_settled(self, names: set[str]) -> Callable[[], bool]:
        return lambda: set(self.nodes()) == names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "manifests"
    path.mkdir()
    (path / "n1.yaml").write_text(node("n1"))
    return path


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    it = Watched(folder)
    it.source.start(it.emit)
    try:
        eventually(it.has_settled({"n1"}))
        eventually(lambda: is_watched(folder))
        yield it
    finally:
        it.source.stop()


class TestReading:
    def test_every_yaml_and_json_file_below_it_is_read(self, folder: Path):
        (folder / "more/deeper").mkdir(parents=True)
        (folder / "more/n2.yml").write_text(node("n2"))
        (folder / "more/deeper/n3.json").write_text(json.dumps(yaml.safe_load(node("n3"))))
        (folder / "README.md").write_text(node("n4"))
        (folder / "n5.yaml~").write_text(node("n5"))
        (folder / ".n6.yaml").write_text(node("n6"))
        assert set(load_folder(folder).objects(Node)) == {"n1", "n2", "n3"}

    def test_a_mounted_configmap_is_read_once(self, tmp_path: Path):
        configmap(tmp_path, "2026_1", n1="10.1.0.0/24")
        cluster = load_folder(tmp_path)
        assert set(cluster.objects(Node)) == {"n1"}
        assert not cluster.errors

    def test_links_in_a_circle_are_followed_once(self, folder: Path):
        (folder / "again").symlink_to(folder)
        assert not load_folder(folder).errors

    def test_a_link_to_itself_costs_nothing_else(self, folder: Path):
        (folder / "n2.yaml").symlink_to("n2.yaml")
        manifests = Manifests(folder)
        found = manifests.read()
        assert {each.name for each in found[Node].objects} == {"n1"}
        assert [str(each) for each in found[Object].errors.values()] == ["n2.yaml: Too many levels of symbolic links"]
        assert manifests.linked_folders() == frozenset()

    def test_a_folder_that_is_not_there_is_not_an_empty_one(self, tmp_path: Path):
        with pytest.raises(Unavailable, match="no such folder"):
            load_folder(tmp_path / "nowhere")

    def test_everything_is_synced_after_one_reading(self, folder: Path):
        assert load_folder(folder).synced(ALL_TYPES)

    @pytest.mark.parametrize(
        ("second", "error"),
        [
            (node("n1", "10.2.0.0/24"), "Node n1: is defined in n1.yaml and other.yaml: keep one of them"),
            (node("n1"), "Node n1: is defined in n1.yaml and other.yaml: keep one of them"),
            (node("n1", 7), "Node n1: is defined in n1.yaml and other.yaml: keep one of them"),  # type: ignore[arg-type]
        ],
    )
    def test_of_an_object_in_two_files_neither_counts(self, folder: Path, second: str, error: str):
        (folder / "other.yaml").write_text(second)
        cluster = load_folder(folder)
        assert not cluster.objects(Node)
        assert [str(found) for found in cluster.errors.values()] == [error]

    def test_an_object_twice_in_one_file_does_not_count(self, folder: Path):
        (folder / "n1.yaml").write_text(node("n1") + node("n1"))
        assert [str(found) for found in load_folder(folder).errors.values()] == [
            "Node n1: is defined in n1.yaml 2 times: keep one of them"
        ]

    def test_one_bad_document_costs_only_itself(self, folder: Path):
        (folder / "n2.yaml").write_text(node("n2") + node("n3", ["x"]) + "---\n}\n" + node("n4"))  # type: ignore[arg-type]
        cluster = load_folder(folder)
        assert set(cluster.objects(Node)) == {"n1", "n2", "n4"}
        assert set(cluster.errors) == {("Node", "n3"), ("Object", "n2.yaml line 17")}


class TestMovingMeanwhile:
    """What is moved after the folder was listed and before its last file was read has not been removed."""

    @pytest.fixture
    def while_reading(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Called with what to do while the first files are read, one act for each."""
        (folder / "n2.yaml").write_text(node("n2"))

        def set_up(*acts: Callable[[], object]) -> None:
            waiting = list(acts)

            def decode(text: bytes, name: str) -> object:
                if waiting:
                    waiting.pop(0)()
                return decode_text(text, name)

            monkeypatch.setattr("birdctl.cluster.manifests.decode_text", decode)

        return set_up

    def test_a_folder_is_gone_not_empty(self, folder: Path, while_reading):
        while_reading(lambda: folder.rename(folder.with_name("away")))
        with pytest.raises(Unavailable, match="no such folder"):
            Manifests(folder).read()

    def test_a_folder_is_read_whole_or_the_one_in_its_place(self, folder: Path, while_reading):
        other = folder.with_name("other")
        other.mkdir()
        for name in ("n1", "n2"):
            (other / f"{name}.yaml").write_text(node(name, "10.9.0.0/24"))

        def exchange() -> None:
            folder.rename(folder.with_name("away"))
            other.rename(folder)

        while_reading(exchange)
        found = Manifests(folder).read()[Node].objects
        assert {each.name: each.spec.pod_cidr for each in found} == {"n1": "10.9.0.0/24", "n2": "10.9.0.0/24"}

    def test_a_renamed_file_counts_under_its_new_name(self, folder: Path, while_reading):
        while_reading(lambda: (folder / "n2.yaml").rename(folder / "a.yaml"))
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1", "n2"}

    def test_a_file_that_was_away_for_a_moment_counts(self, folder: Path, while_reading):
        (folder / "n3.yaml").write_text(node("n3"))
        away = folder.with_name("away")
        while_reading(lambda: (folder / "n2.yaml").rename(away), lambda: away.rename(folder / "n2.yaml"))
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1", "n2", "n3"}

    def test_a_link_to_nothing_costs_nothing_else(self, folder: Path):
        (folder / "n2.yaml").symlink_to("nothing.yaml")
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1"}

    def test_a_file_moved_to_another_folder_counts_there(self, folder: Path, while_reading):
        (folder / "below").mkdir()
        while_reading(lambda: (folder / "n2.yaml").rename(folder / "below/n2.yaml"))
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1", "n2"}

    def test_a_removed_file_is_gone(self, folder: Path, while_reading):
        while_reading((folder / "n2.yaml").unlink)
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1"}

    def test_a_folder_that_never_rests_is_taken_as_it_is(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        numbers = iter(range(1000))

        def decode(text: bytes, name: str) -> object:
            (folder / f"x{next(numbers)}.json").write_text("{}")
            return decode_text(text, name)

        monkeypatch.setattr("birdctl.cluster.manifests.decode_text", decode)
        assert {each.name for each in Manifests(folder).read()[Node].objects} == {"n1"}


class TestWatching:
    def test_a_new_file_counts_at_once(self, folder: Path, watched: Watched):
        (folder / "n2.yaml").write_text(node("n2"))
        eventually(watched.has_settled({"n1", "n2"}))

    def test_a_changed_file_counts(self, folder: Path, watched: Watched):
        (folder / "n1.yaml").write_text(node("n1", "10.9.0.0/24"))
        eventually(lambda: watched.nodes() == {"n1": "10.9.0.0/24"})

    def test_a_file_renamed_over_another_counts(self, folder: Path, watched: Watched):
        (folder / ".n1.yaml.new").write_text(node("n1", "10.9.0.0/24"))
        (folder / ".n1.yaml.new").replace(folder / "n1.yaml")
        eventually(lambda: watched.nodes() == {"n1": "10.9.0.0/24"})

    def test_a_removed_file_takes_its_objects_along(self, folder: Path, watched: Watched):
        (folder / "n1.yaml").unlink()
        eventually(watched.has_settled(set()))

    def test_a_folder_moved_in_counts_whole(self, folder: Path, watched: Watched):
        (folder.parent / "new").mkdir()
        (folder.parent / "new/n2.yaml").write_text(node("n2"))
        (folder.parent / "new").rename(folder / "new")
        eventually(watched.has_settled({"n1", "n2"}))
        (folder / "new/n3.yaml").write_text(node("n3"))
        eventually(watched.has_settled({"n1", "n2", "n3"}))

    def test_a_file_that_is_being_written_counts_when_it_is_closed(self, folder: Path, watched: Watched):
        with (folder / "n1.yaml").open("w") as file:
            file.write(node("n1", "10.9.0.0/24")[:30])
            file.flush()
            (folder / "n2.yaml").write_text(node("n2"))
            eventually(watched.has_settled({"n1", "n2"}))
            file.write(node("n1", "10.9.0.0/24")[30:])
        eventually(lambda: watched.nodes()["n1"] == "10.9.0.0/24")
        assert not watched.errors()

    def test_a_file_somebody_leaves_open_counts_in_the_end(self, folder: Path, watched: Watched):
        with (folder / "n2.yaml").open("w") as file:
            file.write(node("n2"))
            file.flush()
            eventually(watched.has_settled({"n1", "n2"}))

    def test_a_mounted_configmap_changes_as_a_whole(self, tmp_path: Path):
        path = tmp_path / "mounted"
        configmap(path, "2026_1", n1="10.1.0.0/24", n2="10.2.0.0/24")
        it = Watched(path)
        it.source.start(it.emit)
        try:
            configmap(path, "2026_2", n1="10.3.0.0/24", n2="10.4.0.0/24")
            eventually(lambda: it.nodes() == {"n1": "10.3.0.0/24", "n2": "10.4.0.0/24"})
        finally:
            it.source.stop()

    def test_a_folder_that_is_a_link_may_be_relinked(self, tmp_path: Path):
        for version in ("v1", "v2"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "n.yaml").write_text(node(version))
        (tmp_path / "current").symlink_to("v1")
        it = Watched(tmp_path / "current")
        it.source.start(it.emit)
        try:
            eventually(it.has_settled({"v1"}))
            relink(tmp_path / "current", "v2")
            eventually(it.has_settled({"v2"}))
            (tmp_path / "v2/more.yaml").write_text(node("more"))
            eventually(it.has_settled({"v2", "more"}))
        finally:
            it.source.stop()

    def test_files_behind_links_are_watched_where_they_are(self, folder: Path, watched: Watched):
        elsewhere = folder.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "n2.yaml").write_text(node("n2"))
        (folder / "n2.yaml").symlink_to(elsewhere / "n2.yaml")
        eventually(watched.has_settled({"n1", "n2"}))
        eventually(lambda: is_watched(elsewhere))
        (elsewhere / "n2.yaml").write_text(node("n2", "10.9.0.0/24"))
        eventually(lambda: watched.nodes()["n2"] == "10.9.0.0/24")

    def test_a_folder_that_is_gone_changes_nothing_until_it_is_back(self, folder: Path, watched: Watched):
        shutil.move(folder, folder.with_name("away"))
        eventually(lambda: not watched.source.healthy)
        assert "no such folder" in watched.source.error
        assert set(watched.nodes()) == {"n1"}
        with pytest.raises(Unavailable):
            watched.source.refresh()
        folder.mkdir()
        (folder / "n2.yaml").write_text(node("n2"))
        eventually(watched.has_settled({"n2"}))
        assert watched.source.healthy

    def test_a_text_that_cannot_be_read_takes_nothing_away(self, folder: Path):
        path, manifests = folder / "n1.yaml", Manifests(folder)
        path.write_text(node("n1") + node("n2"))
        manifests.read()
        path.write_text("kind: [\n" + node("n2", "10.9.0.0/24"))
        for _ in range(2):
            manifests.forget()
            found = manifests.read()
            assert {each.name: each.spec.pod_cidr for each in found[Node].objects} == {
                "n1": "10.1.0.0/24",
                "n2": "10.9.0.0/24",
            }
            assert list(found[Object].errors) == ["n1.yaml line 2"]
        path.write_text(node("n2"))
        manifests.forget()
        assert [each.name for each in manifests.read()[Node].objects] == ["n2"]

    def test_kinds_that_did_not_change_are_not_emitted_again(self, folder: Path, watched: Watched):
        watched.events.clear()
        (folder / "n2.yaml").write_text(node("n2"))
        eventually(watched.has_settled({"n1", "n2"}))
        assert {event.type for event in watched.events} == {Node}


class TestRefreshing:
    def test_everything_written_before_has_been_emitted_after(self, folder: Path):
        it = Watched(folder)
        it.source.start(it.emit)
        try:
            for number in range(20):
                (folder / f"x{number}.yaml").write_text(node(f"x{number}"))
                it.source.refresh()
                assert f"x{number}" in it.nodes()
        finally:
            it.source.stop()

    def test_a_change_that_left_no_trace_in_the_files_times_is_seen(self, folder: Path, watched: Watched):
        path = folder / "n1.yaml"
        before = path.stat()
        path.write_text(node("n1", "10.8.0.0/24"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        watched.source.refresh()
        assert watched.nodes() == {"n1": "10.8.0.0/24"}


def test_a_source_that_was_stopped_has_no_thread_left(folder: Path):
    before = threading.active_count()
    it = Watched(folder)
    it.source.start(it.emit)
    eventually(it.has_settled({"n1"}))
    it.source.stop()
    assert threading.active_count() == before


def configmap(path: Path, version: str, **nodes: str) -> None:
    """What kubelet writes: files are links into `..data`, itself a link that is replaced."""
    (path / f"..{version}").mkdir(parents=True)
    for name, cidr in nodes.items():
        (path / f"..{version}/{name}.yaml").write_text(node(name, cidr))
    relink(path / "..data", f"..{version}")
    for name in nodes:
        if not (path / f"{name}.yaml").is_symlink():
            (path / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")


def is_watched(folder: Path) -> bool:
    """Whether the kernel tells this process of changes in the folder (inotify(7), proc(5))."""
    mark = f"ino:{folder.stat().st_ino:x} "
    return any(mark in read_or_nothing(path) for path in Path("/proc/self/fdinfo").iterdir())


def read_or_nothing(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def relink(path: Path, target: str) -> None:
    new = path.with_name(f"{path.name}_tmp")
    new.symlink_to(target)
    new.replace(path)
