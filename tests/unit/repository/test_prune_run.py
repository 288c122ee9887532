"""Pruning a repository: what goes, what stays, when it refuses, and what is left when it is cut off."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import (
    BlobMissing,
    Cancelled,
    Corrupt,
    IndexIncomplete,
    ListingUnproved,
    LockHeld,
    RepositoryError,
)
from backup_core.format.layout import FileKind, pack_name
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository import prune_run
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune, run_plan
from backup_core.repository.prune_survey import list_packs, survey
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import Fault, FaultyBackend, PowerCut, every_fault
from backup_core.types import PackId, SnapshotId

THOROUGH = PruneBounds(max_unused_share=0)
PACK = 4000


def contents_of(seed: int, count: int = 8) -> list[bytes]:
    made = random.Random(seed)
    return [made.randbytes(600 + 50 * at) for at in range(count)]


@pytest.fixture
def kept(place: Any, store: Callable[..., Any]) -> list[Any]:
    """Two backups that stay; a third one, which shared a part of its files with them, is forgotten."""
    first, gone, shared = contents_of(1), contents_of(2), contents_of(3)
    repository = place.open(pack_size=PACK)
    stored = [store(repository, [*first, *shared])]
    mixed = [content for pair in zip(gone, contents_of(4), strict=True) for content in pair]
    forgotten = store(repository, [*mixed, *shared])
    stored.append(store(repository, [*contents_of(4), *first[:3]]))
    with repository.lock(exclusive=True):
        repository.remove_snapshot(forgotten.snapshot)
    repository.close()
    return stored


def assert_whole(repository: Repository, kept: list[Any], *, problems: list[Any] | None = None) -> None:
    """Every kept snapshot reads completely, and nothing the index lists is missing."""
    snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
    assert snapshots.keys() == {stored.snapshot for stored in kept}
    repository.load_index(problems=problems)
    for stored in kept:
        nodes = repository.read_tree(snapshots[stored.snapshot].tree)
        read = [repository.read_blob(blob) for node in nodes for blob in node.content or ()]
        assert read == stored.contents


def stored_bytes(place: Any) -> int:
    return sum(len(place.server.objects[name]) for name in place.names("data"))


def test_nothing_unneeded_is_left_and_everything_needed_is(place: Any, kept: list[Any]) -> None:
    before = stored_bytes(place)
    with place.open(pack_size=PACK) as repository:
        report = prune(repository, THOROUGH)
        assert report.plan.repack
        assert report.packs_written
        needed = sum(use.needed_bytes for use in report.plan.usage.packs)
        boxes = sum(blob.length for pack in repository.index.packs() for blob in repository.index.pack_blobs(pack))
        assert boxes == needed
        assert before - stored_bytes(place) == pytest.approx(report.plan.bytes_freed, abs=2000)
        assert repository.check_packs() == []
        assert repository.unreferenced_packs() == {}
        for pack in repository.index.packs():
            assert repository.check_pack_data(pack).problems == ()
        assert place.names("locks") == []
        assert prune(repository, THOROUGH).plan.nothing_to_do
    for cache in (place.cache, place.cache / "of-another-machine"):
        with place.open(cache=cache) as repository:
            assert_whole(repository, kept)


def test_a_dry_run_changes_nothing(place: Any, kept: list[Any]) -> None:
    before = dict(place.server.objects)
    with place.open(pack_size=PACK) as repository:
        report = prune(repository, THOROUGH, dry_run=True)
    assert report.dry_run
    assert report.plan.bytes_freed > 0
    assert place.server.objects == before


def test_little_unneeded_data_stays_where_it_is(place: Any, kept: list[Any]) -> None:
    with place.open(pack_size=PACK) as repository:
        report = prune(repository, PruneBounds(max_unused_share=1))
        assert (report.packs_written, len(report.plan.repack)) == (0, 0)
        assert report.plan.bytes_unused_after > 0
        assert_whole(repository, kept)


def test_a_backup_after_pruning_stores_again_what_was_removed(place: Any, kept: list[Any], store: Any) -> None:
    with place.open(pack_size=PACK) as repository:
        repository.load_index()
        prune(repository, THOROUGH)
        kept.append(store(repository, contents_of(2)))
        assert_whole(repository, kept)


def test_work_in_rounds_never_needs_much_room(place: Any, kept: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_run, "ROUND_BYTES", 1500)
    before = stored_bytes(place)
    most = before

    class Watching(FaultyBackend):
        def put(self, name: str, data: Any) -> None:
            nonlocal most
            super().put(name, data)
            most = max(most, stored_bytes(place))

    with place.open(Watching(place.server), pack_size=PACK) as repository:
        report = prune(repository, THOROUGH)
        assert len(report.plan.repack) > 1
        assert_whole(repository, kept)
    assert most <= before + 1500 + PACK


@pytest.mark.slow
def test_cut_off_at_any_moment_nothing_is_lost_and_the_next_one_carries_on(
    place: Any, kept: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune_run, "ROUND_BYTES", 4000)
    place.server.put("data/00/" + "00" * 32, b"left by a run that was killed")
    objects = dict(place.server.objects)
    threads = {"pack_size": PACK, "upload_threads": 1}

    def attempt(name: str, *faults: Fault) -> tuple[FaultyBackend, Path]:
        server = MemoryBackend()
        server.objects |= objects
        cache = tmp_path / name
        shutil.copytree(place.cache, cache)
        backend = FaultyBackend(server, *faults)
        repository = place.open(backend, cache=cache, **threads)
        try:
            prune(repository, THOROUGH)
        except PowerCut:
            assert faults
        finally:
            repository.close()
        return backend, cache

    clean, _ = attempt("clean")
    final = sum(len(data) for name, data in clean.inner.objects.items() if name.startswith("data/"))
    for number, fault in enumerate(every_fault(clean.count())):
        backend, cache = attempt(f"fault{number}", fault)
        server = backend.inner
        with place.open(server, cache=tmp_path / f"elsewhere{number}") as elsewhere:
            # A half index file is there until its machine comes back; the others list all that is needed.
            assert_whole(elsewhere, kept, problems=[])
            assert elsewhere.check_packs() == []
        with place.open(server, cache=cache, **threads) as repository:
            prune(repository, THOROUGH)
            assert_whole(repository, kept)
            assert repository.check_packs() == []
            assert repository.unreferenced_packs() == {}
        left = sum(len(data) for name, data in server.objects.items() if name.startswith("data/"))
        assert left == pytest.approx(final, abs=1000)
        assert not [name for name in server.objects if name.startswith("locks/")]
        shutil.rmtree(cache)


def test_cancelled_in_the_middle_nothing_is_lost(place: Any, kept: list[Any]) -> None:
    cancel = CancelToken()

    class Cancelling(FaultyBackend):
        def put(self, name: str, data: Any) -> None:
            super().put(name, data)
            if name.startswith("data/"):
                cancel.cancel()

    with place.open(Cancelling(place.server), pack_size=PACK) as repository, pytest.raises(Cancelled):
        prune(repository, THOROUGH, cancel=cancel)
    with place.open(pack_size=PACK) as repository:
        assert_whole(repository, kept)
        prune(repository, THOROUGH)
        assert_whole(repository, kept)


def refused(place: Any, error: type[Exception], match: str | None = None, backend: Any = None) -> None:
    """Pruning raises, and what it leaves is what it found."""
    before = dict(place.server.objects)
    fresh = place.open(backend, cache=place.cache / "fresh", pack_size=PACK)
    with fresh as repository, pytest.raises(error, match=match):
        prune(repository, THOROUGH)
    assert place.server.objects == before


@pytest.mark.parametrize("directory", ["data/xx", "index", "snapshots"])
def test_an_unproved_listing_is_no_ground_for_removing(place: Any, kept: list[Any], directory: str) -> None:
    if directory == "data/xx":
        directory = place.names("data")[0].rpartition("/")[0]

    class Doubtful(FaultyBackend):
        def list(self, asked: str) -> Any:
            listing = super().list(asked)
            return replace(listing, proved_complete=False, doubt="it was cut") if asked == directory else listing

    refused(place, ListingUnproved, "may be incomplete: it was cut", Doubtful(place.server))


def test_a_damaged_index_file_is_no_ground_for_removing(place: Any, kept: list[Any]) -> None:
    name = place.names("index")[0]
    place.server.objects[name] = os.urandom(100)
    refused(place, IndexIncomplete)


def test_an_index_file_that_is_gone_leaves_blobs_missing(place: Any, kept: list[Any]) -> None:
    del place.server.objects[place.names("index")[0]]
    refused(place, BlobMissing)


def test_a_snapshot_that_cannot_be_read_is_no_ground_for_removing(place: Any, kept: list[Any]) -> None:
    place.server.objects[place.names("snapshots")[0]] += b"x"
    refused(place, Corrupt)


def test_a_snapshot_that_is_listed_and_not_there_is_no_ground_for_removing(place: Any, kept: list[Any]) -> None:
    class Forgetful(FaultyBackend):
        def get(self, name: str, **part: Any) -> bytes:
            return super().get("snapshots/" + "00" * 32 if name.startswith("snapshots/") else name, **part)

    refused(place, ListingUnproved, "nobody knows what it needs", Forgetful(place.server))


def test_without_any_snapshot_nothing_is_removed(place: Any, kept: list[Any]) -> None:
    for name in place.names("snapshots"):
        del place.server.objects[name]
    refused(place, RepositoryError, "would remove everything")


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_needed_pack_that_is_not_whole_is_no_ground_for_removing(place: Any, kept: list[Any], damage: str) -> None:
    with place.open(pack_size=PACK) as repository:
        use = prune(repository, THOROUGH, dry_run=True).plan.keep[0]
    name = pack_name(use.pack)
    if damage == "gone":
        del place.server.objects[name]
    else:
        place.server.objects[name] = place.server.objects[name][:-1]
    refused(place, (BlobMissing, Corrupt))  # type: ignore[arg-type]


def test_an_unneeded_pack_that_is_gone_is_only_taken_off_the_index(place: Any, kept: list[Any]) -> None:
    with place.open(pack_size=PACK) as repository:
        use = prune(repository, THOROUGH, dry_run=True).plan.delete[0]
        del place.server.objects[pack_name(use.pack)]
        report = prune(repository, THOROUGH)
        assert report.plan.lost == (use.pack,)
        assert repository.index.pack_size(use.pack) is None
        assert_whole(repository, kept)


def test_a_damaged_blob_is_not_copied_as_if_it_were_whole(place: Any, kept: list[Any]) -> None:
    with place.open(pack_size=PACK) as repository:
        plan = prune(repository, THOROUGH, dry_run=True).plan
        pack = plan.repack[0].pack
        blob = plan.usage.wanted(pack, repository.index.pack_blobs(pack))[0]
    data = bytearray(place.server.objects[pack_name(pack)])
    data[blob.offset + 20] ^= 1
    place.server.objects[pack_name(pack)] = bytes(data)
    with place.open(pack_size=PACK) as repository, pytest.raises(Corrupt, match="cannot be read"):
        prune(repository, THOROUGH)
    assert place.server.objects[pack_name(pack)] == bytes(data)


def test_somebody_at_work_excludes_pruning(place: Any, kept: list[Any]) -> None:
    with place.open(hostname="another", username="them") as other, other.lock():
        refused(place, LockHeld, "them on another")


def test_packs_that_came_after_the_listing_stay(place: Any, kept: list[Any]) -> None:
    late = "data/11/" + "11" * 32

    class Late(FaultyBackend):
        def put(self, name: str, data: Any) -> None:
            super().put(name, data)
            self.inner.objects.setdefault(late, b"of a run that began meanwhile")  # type: ignore[attr-defined]

    with place.open(Late(place.server), pack_size=PACK) as repository:
        prune(repository, THOROUGH)
    assert late in place.server.objects


def test_a_plan_is_carried_out_only_for_what_it_was_made_from(place: Any, kept: list[Any]) -> None:
    with place.open(pack_size=PACK) as repository:
        tracker, cancel = ProgressTracker(no_progress, clock=place.clock), CancelToken()
        listed = list_packs(repository, cancel=cancel)
        with repository.lock() as held:
            plan = survey(repository, listed, THOROUGH, progress=tracker, cancel=cancel)
            with pytest.raises(RepositoryError, match="exclusive lock"):
                run_plan(repository, plan, held, progress=tracker, cancel=cancel)
        with repository.lock(exclusive=True) as held:
            run_plan(repository, plan, held, progress=tracker, cancel=cancel)
            with pytest.raises(RepositoryError, match="Plan again"):
                run_plan(repository, plan, held, progress=tracker, cancel=cancel)
        assert_whole(repository, kept)


def test_a_pack_listed_twice_is_listed_once_afterwards(place: Any, kept: list[Any]) -> None:
    from backup_core.format.index_file import encode_index

    with place.open(pack_size=PACK) as repository:
        repository.load_index()
        use = prune(repository, THOROUGH, dry_run=True).plan.keep[0]
        blobs = repository.index.pack_blobs(use.pack)
        repository.files.write(FileKind.INDEX, encode_index([(PackId(use.pack), blobs[:1])]))
        prune(repository, THOROUGH)
        assert sorted(repository.index.pack_blobs(use.pack)) == sorted(blobs)
        assert_whole(repository, kept)
        assert len(repository.index) == sum(len(repository.index.pack_blobs(p)) for p in repository.index.packs())


def test_a_forgotten_snapshot_frees_what_it_alone_needed(place: Any, kept: list[Any]) -> None:
    with place.open(pack_size=PACK) as repository:
        with repository.lock(exclusive=True):
            repository.remove_snapshot(SnapshotId(kept[0].snapshot))
        assert prune(repository, THOROUGH).packs_removed
        assert_whole(repository, kept[1:])


def test_a_damaged_blob_is_copied_from_another_pack_that_has_it(place: Any, store: Callable[..., Any]) -> None:
    """Somebody stored the same blobs twice, and the copy that pruning wants to keep is damaged."""
    contents = contents_of(1)
    half = [content for each in zip(contents, contents_of(2), strict=True) for content in each]
    third = [content for each in zip(contents, contents_of(3), contents_of(4), strict=True) for content in each]
    with place.open(pack_size=PACK) as repository:
        forgotten = [store(repository, half)]
        repository.index.hide_packs(list(repository.index.packs()))
        forgotten.append(store(repository, third))
    with place.open(pack_size=PACK) as repository:
        kept = store(repository, contents)
        with repository.lock(exclusive=True):
            for each in forgotten:
                repository.remove_snapshot(each.snapshot)
        repository.load_index()
        plan = make_survey(repository)
    homes = {home for home in plan.usage.homes.values() if home in {use.pack for use in plan.repack}}
    assert homes
    for pack in homes:
        damaged = bytearray(place.server.objects[pack_name(pack)])
        damaged[100] ^= 1
        place.server.objects[pack_name(pack)] = bytes(damaged)
    with place.open(pack_size=PACK) as repository:
        prune(repository, THOROUGH)
        assert_whole(repository, [kept])


def make_survey(repository: Repository) -> Any:
    listed = list_packs(repository, cancel=CancelToken())
    with repository.lock_for_reading():
        progress = ProgressTracker(no_progress, clock=repository.clock)
        return survey(repository, listed, THOROUGH, progress=progress, cancel=CancelToken())
