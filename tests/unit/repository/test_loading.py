from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backup_core.errors import Cancelled, Corrupt, IndexIncomplete, ListingUnproved, RepositoryError
from backup_core.format.index_file import encode_index
from backup_core.format.layout import FileKind
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.results import Problem
from backup_core.testing.recording import RecordingBackend
from backup_core.types import BlobId, BlobType, PackedBlob, PackId, TreeId


def listing(number: int, count: int = 3) -> tuple[PackId, list[PackedBlob]]:
    blobs = [
        PackedBlob(BlobId(number.to_bytes(4, "big") * 7 + i.to_bytes(4, "big")), BlobType.DATA, i * 50, 50, 0)
        for i in range(count)
    ]
    return PackId(number.to_bytes(32, "little")), blobs


def write_index(place: Any, *numbers: int) -> str:
    """An index file of another machine."""
    other = place.open(cache=place.cache.with_name("elsewhere"))
    name: str = other.files.write(FileKind.INDEX, encode_index(listing(number) for number in numbers))
    return name


@pytest.fixture
def recording(place: Any) -> RecordingBackend:
    return RecordingBackend(place.server)


def test_only_new_index_files_are_fetched(place: Any, recording: RecordingBackend) -> None:
    first = write_index(place, 1, 2)
    assert len(place.open(recording).load_index()) == 6
    second = write_index(place, 3)
    recording.clear()
    index = place.open(recording).load_index()
    assert recording.names("get") == [f"index/{second}"]
    assert list(index.packs()) == sorted(listing(number)[0] for number in (1, 2, 3))
    assert index.index_ids == {first, second}
    recording.clear()
    assert len(place.open(recording).load_index()) == 9
    assert recording.names("get") == []


def test_a_refresh_finds_what_others_added(place: Any) -> None:
    repository = place.open()
    index = repository.load_index()
    write_index(place, 1)
    assert repository.load_index() is index
    assert listing(1)[1][0].id in index


def test_index_files_that_were_removed_are_forgotten(place: Any, recording: RecordingBackend) -> None:
    gone, stays = write_index(place, 1), write_index(place, 2)
    for number in range(3, 8):
        write_index(place, number)
    place.open().load_index()
    place.server.delete(f"index/{gone}")
    recording.clear()
    repository = place.open(recording)
    index = repository.load_index()
    assert listing(1)[1][0].id not in index
    assert listing(2)[1][0].id in index
    assert recording.names("get") == []  # the sealed copies are still here
    assert gone not in {path.name for path in (place.cache / repository.id / "index").iterdir()}
    assert stays in index.index_ids


def test_many_small_index_files_end_in_few_segments(place: Any) -> None:
    repository = place.open()
    for number in range(40):
        write_index(place, number)
        index = repository.load_index()
    assert len(index) == 120
    assert len(index.path.paths) <= 3


def test_unused_segments_go_after_an_hour(place: Any) -> None:
    for number in range(6):
        write_index(place, number)
        place.open().load_index()
    directory = place.cache / place.open().id / "segments"
    (directory / "killed.segment.x.tmp").write_bytes(b"half")
    kept = len(list(directory.iterdir()))
    newest = max(path.stat().st_mtime for path in directory.iterdir())
    place.clock.advance(newest - place.clock.now().timestamp() + 2 * 3600)
    index = place.open().load_index()
    assert {path.name for path in directory.iterdir()} == {path.name for path in index.path.paths}
    assert len(index.path.paths) < kept
    assert len(index) == 18


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_index_file_is_refused_or_noted(place: Any, damage: bytes | None) -> None:
    good, bad = write_index(place, 1), write_index(place, 2)
    content = place.server.objects[f"index/{bad}"]
    place.server.objects[f"index/{bad}"] = content[:-1] if damage is None else damage
    with pytest.raises(IndexIncomplete, match=bad):
        place.open().load_index()
    problems: list[Problem] = []
    repository = place.open()
    index = repository.load_index(problems=problems)
    assert [problem.object_id for problem in problems] == [bad]
    assert not index.complete
    assert list(index.packs()) == [listing(1)[0]]
    # What was damaged is not taken for known: once it is whole again, it counts.
    place.server.objects[f"index/{bad}"] = content
    assert repository.load_index().complete
    assert good in index.index_ids and bad in index.index_ids


def test_an_unproved_listing_is_refused_or_marked(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(place, 1)
    repository = place.open()
    whole = place.server.list
    monkeypatch.setattr(place.server, "list", lambda d: replace(whole(d), proved_complete=False, doubt="cut"))
    with pytest.raises(ListingUnproved, match=r"index/.*cut"):
        repository.load_index()
    assert not repository.load_index(allow_unproved=True).complete
    with pytest.raises(ListingUnproved, match=r"snapshots/.*cut"):
        repository.snapshots()
    assert repository.snapshots(allow_unproved=True) == []


def test_a_short_listing_that_is_not_proved_costs_no_copies(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_index(place, 1)
    repository = place.open()
    repository.load_index()
    whole = place.server.list
    monkeypatch.setattr(place.server, "list", lambda d: replace(whole(d), objects=(), proved_complete=False))
    repository.load_index(allow_unproved=True)
    assert (place.cache / repository.id / "index" / name).exists()


def test_loading_can_be_cancelled(place: Any) -> None:
    write_index(place, 1)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        place.open().load_index(cancel=cancel)


def test_a_cache_that_cannot_be_written_is_an_error_with_advice(place: Any) -> None:
    write_index(place, 1)
    repository = place.open()
    (place.cache / repository.id / "segments").write_text("in the way")
    with pytest.raises(RepositoryError, match="another home directory"):
        repository.load_index()


def test_a_refused_copy_does_not_fail_the_work(place: Any, store: Callable[..., Any]) -> None:
    repository = place.open()
    for name in ("snapshots", "index", "data", "trees"):
        (place.cache / repository.id / name).write_text("in the way")
    stored = store(repository, [b"content"])
    assert repository.snapshots()[0].id == stored.snapshot
    assert len(repository.read_tree(stored.tree)) == 1
    assert [problem.kind for problem in repository.cache.problems] == ["cache"]


def test_without_a_cache_directory_a_temporary_one_is_used_and_removed(place: Any, store: Callable[..., Any]) -> None:
    repository = place.open()
    other = type(repository)(
        place.server,
        repository_key(repository),
        encrypted=True,
        clock=place.clock,
        random_bytes=os.urandom,
        options=replace(repository.options, cache_directory=None),
    )
    store(other, [b"content"])
    directory = other.cache.directory("segments")
    assert directory.exists()
    other.close()
    assert not directory.exists()


def repository_key(repository: Any) -> Any:
    from backup_core.repository.keyring import OpenedKey

    return OpenedKey(repository.key_id, repository.master_key, repository.config)


def snapshot(place: Any, repository: Any, *, ago: float = 0) -> str:
    with repository.lock():
        time = place.clock.now() - timedelta(seconds=ago)
        name: str = repository.save_snapshot(Snapshot(time, TreeId(BlobId(os.urandom(32))), ("/x",)))
    return name


def test_snapshots_come_oldest_first_and_are_fetched_once(place: Any, recording: RecordingBackend) -> None:
    writer = place.open(cache=place.cache.with_name("elsewhere"))
    new, old, middle = snapshot(place, writer), snapshot(place, writer, ago=9), snapshot(place, writer, ago=5)
    reader = place.open(recording)
    assert [s.id for s in reader.snapshots()] == [old, middle, new]
    recording.clear()
    assert [s.id for s in place.open(recording).snapshots()] == [old, middle, new]
    assert recording.names("get") == []


def test_a_removed_snapshot_is_gone_from_the_cache_too(place: Any) -> None:
    writer = place.open()
    first, second = snapshot(place, writer), snapshot(place, writer)
    other = place.open(cache=place.cache.with_name("elsewhere"))
    with other.lock(exclusive=True):
        other.remove_snapshot(first)  # type: ignore[arg-type]
    assert [s.id for s in writer.snapshots()] == [second]
    assert [path.name for path in (place.cache / writer.id / "snapshots").iterdir()] == [second]


def test_known_snapshots_are_passed_over_if_they_lie_here(place: Any, recording: RecordingBackend) -> None:
    writer = place.open(cache=place.cache.with_name("elsewhere"))
    first, second, third = (snapshot(place, writer, ago=seconds) for seconds in (9, 5, 0))
    reader = place.open(recording)
    known = {first}
    assert [s.id for s in reader.snapshots(known=known)] == [first, second, third]
    assert not known, "no copy of it lies here"
    known = {first, second, "f" * 64}
    assert [s.id for s in reader.snapshots(known=known)] == [third]
    assert known == {first, second}
    del place.server.objects[f"snapshots/{first}"]
    known = {first, second, third}
    assert reader.snapshots(known=known) == []
    assert known == {second, third}


def test_a_damaged_snapshot_does_not_hide_the_others(place: Any) -> None:
    writer = place.open()
    good, bad = snapshot(place, writer), snapshot(place, writer)
    place.server.objects[f"snapshots/{bad}"] = b"damage"
    reader = place.open(cache=place.cache.with_name("elsewhere"))
    with pytest.raises(Corrupt, match=bad):
        reader.snapshots()
    problems: list[Problem] = []
    assert [s.id for s in reader.snapshots(problems=problems)] == [good]
    assert [(problem.kind, problem.object_id) for problem in problems] == [("damaged-snapshot", bad)]


def test_a_snapshot_is_found_by_the_beginning_of_its_id(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = place.open()
    names = [snapshot(place, repository) for _ in range(3)]
    assert repository.load_snapshot(names[1]).id == names[1]
    assert repository.load_snapshot(names[1][:12]).id == names[1]
    for wanted, message in (("abc", "too short"), ("zzzz", "there is no snapshot"), ("0" * 64, "there is no snapshot")):
        with pytest.raises(RepositoryError, match=message):
            repository.load_snapshot(wanted)
    one = names[0]
    twin = one[:8] + ("0" * 56 if one[8:] != "0" * 56 else "1" * 56)
    place.server.objects[f"snapshots/{twin}"] = b""
    with pytest.raises(RepositoryError, match="give more digits"):
        repository.load_snapshot(one[:8])


def test_a_full_id_is_found_though_the_listing_lacks_it(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = place.open()
    name = snapshot(place, repository)
    whole = place.server.list
    monkeypatch.setattr(place.server, "list", lambda d: replace(whole(d), objects=(), proved_complete=False))
    assert repository.load_snapshot(name).id == name


def test_the_index_must_be_loaded_before_it_is_used(place: Any) -> None:
    with pytest.raises(RepositoryError, match="load_index"):
        _ = place.open().index
