"""Mirrors: whole, cheap the second time, whatever interrupts them, and honest about damage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.mirroring.plan import plan_mirror
from backup_core.engine.mirroring.run import mirror
from backup_core.errors import Cancelled, ConfigError, LockHeld
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.repository import Repository
from backup_core.results import Outcome
from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault
from backup_core.testing.plain_archiver import PlainArchiver
from backup_core.testing.trees import describe


def change(source: Path, number: int) -> None:
    (source / "a" / f"new{number}").write_bytes(random.Random(number).randbytes(50_000))
    (source / "c" / "text").write_text(f"edited {number}\n" * 500)


def test_a_mirror_restores_by_itself_and_has_a_key_of_its_own(pair: Any, source: Path, tmp_path: Path) -> None:
    one = pair.back_up(source)
    early = describe(source)
    change(source, 1)
    two = pair.back_up(source)
    summary = pair.copy()
    assert summary.outcome is Outcome.COMPLETED
    assert list(summary.snapshots_copied) == [one.id, two.id]
    assert summary.packs == len(pair.packs(pair.second)) > 2
    pair.first.objects.clear()
    copies = pair.copies()
    assert [copy.original for copy in copies] == [one.id, two.id]
    assert [copy.tags for copy in copies] == [one.tags, two.tags]
    assert pair.restored(copies[0], tmp_path / "out1") == early
    assert pair.restored(copies[1], tmp_path / "out2") == describe(source)


def test_nothing_of_the_source_is_read_and_packs_come_in_few_requests(pair: Any, source: Path) -> None:
    pair.back_up(source)
    mtime = (source / "a").stat().st_mtime_ns
    (source / "a").rename(source / "gone")  # a mirror made from the source would notice
    pair.copy()
    assert (source / "gone").stat().st_mtime_ns == mtime
    data = [name for name in pair.asked[0].names("get") if name.startswith("data/")]
    assert sorted(data) == sorted(set(pair.packs(pair.first)) - cached_tree_packs(pair))


def cached_tree_packs(pair: Any) -> set[str]:
    """Packs of trees, which this machine has in its cache since it made them."""
    repository = pair.open_first()
    index = repository.load_index()
    return {f"data/{p.hex()[:2]}/{p.hex()}" for p in index.packs() if index.pack_blobs(p)[0].type == 1}


def test_the_second_run_sends_only_what_is_new(pair: Any, source: Path) -> None:
    pair.back_up(source)
    pair.copy()
    before = dict(pair.second.objects)
    again = pair.copy()
    assert (again.packs, again.blobs, again.snapshots_copied, again.snapshots_present) == (0, 0, {}, 1)
    assert pair.second.objects == before
    assert not [name for name in pair.asked[0].names("get") if name.startswith("data/")]
    change(source, 1)
    pair.back_up(source)
    third = pair.copy()
    assert len(third.snapshots_copied) == 1
    assert third.bytes_written < 100_000 < sum(map(len, before.values()))


def test_a_dry_run_says_what_would_be_copied_and_writes_nothing(pair: Any, source: Path) -> None:
    snapshot = pair.back_up(source)
    before = dict(pair.second.objects)
    foreseen = pair.copy(dry_run=True)
    assert foreseen.dry_run
    assert list(foreseen.snapshots_copied) == [snapshot.id]
    assert {n: d for n, d in pair.second.objects.items() if not n.startswith("locks/")} == before
    done = pair.copy()
    assert done.blobs == foreseen.blobs
    # Packs have headers, and there is an index; the blobs themselves are as foreseen.
    assert foreseen.bytes_written <= done.bytes_written <= foreseen.bytes_written * 1.1 + 5000


def test_one_snapshot_alone_can_be_copied_and_parents_are_translated(pair: Any, source: Path) -> None:
    one = pair.back_up(source)
    change(source, 1)
    two = pair.back_up(source)
    pair.copy(two)
    assert [copy.original for copy in pair.copies()] == [two.id]
    pair.copy()
    assert {copy.original for copy in pair.copies()} == {one.id, two.id}


def test_a_mirror_of_a_mirror_knows_the_same_original(pair: Any, source: Path) -> None:
    snapshot = pair.back_up(source)
    pair.copy()
    tracker = ProgressTracker(no_progress, clock=pair.clock)
    # Back into the first: it is there already, under its own name.
    first, second = pair.open_first(), pair.open_mirror()
    summary = mirror(second, first, second.snapshots(), clock=pair.clock, progress=tracker, cancel=CancelToken())
    assert (summary.snapshots_copied, summary.snapshots_present) == ({}, 1)
    assert [s.id for s in first.snapshots()] == [snapshot.id]


def test_a_repository_is_no_mirror_of_itself(pair: Any, source: Path) -> None:
    snapshot = pair.back_up(source)
    one, same = pair.open_first(), pair.open_first()
    tracker = ProgressTracker(no_progress, clock=pair.clock)
    with pytest.raises(ConfigError, match="repository of its own"):
        mirror(one, same, [snapshot], clock=pair.clock, progress=tracker, cancel=CancelToken())


def test_boxes_pass_as_they_are_between_repositories_with_the_same_key(pair: Any, source: Path, tmp_path: Path) -> None:
    snapshot = pair.back_up(source)
    first, second = pair.open_first(), pair.open_mirror()
    # The mirror's files so far are sealed with its own key; packs of another key are what is looked at here.
    second.master_key = first.master_key
    tracker = ProgressTracker(no_progress, clock=pair.clock)
    with first.lock(), second.lock():
        first.load_index()
        second.load_index()
        plan = plan_mirror(first, second, [snapshot], progress=tracker, cancel=CancelToken())
    assert plan.blobs
    summary = mirror(first, second, [snapshot], clock=pair.clock, progress=tracker, cancel=CancelToken())
    assert summary.outcome is Outcome.COMPLETED
    sealed = {
        bytes(pair.first.objects[f"data/{p.hex()[:2]}/{p.hex()}"][b.offset : b.offset + b.length])
        for p in first.index.packs()
        for b in first.index.pack_blobs(p)
        if b.type == 0
    }
    copied = {
        bytes(pair.second.objects[f"data/{p.hex()[:2]}/{p.hex()}"][b.offset : b.offset + b.length])
        for p in second.index.packs()
        for b in second.index.pack_blobs(p)
        if b.type == 0
    }
    assert copied == sealed


def damage(backend: MemoryBackend, name: str) -> None:
    content = bytearray(backend.objects[name])
    for at in range(0, len(content), 200):
        content[at] ^= 1
    backend.objects[name] = bytes(content)


def test_a_damaged_pack_keeps_out_only_the_snapshots_that_need_it(pair: Any, source: Path, tmp_path: Path) -> None:
    one = pair.back_up(source)
    early = describe(source)
    before = set(pair.packs(pair.first))
    change(source, 1)
    two = pair.back_up(source)
    data = sorted(set(pair.packs(pair.first)) - before - cached_tree_packs(pair))
    damage(pair.first, data[0])
    summary = pair.copy()
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert list(summary.snapshots_copied) == [one.id]
    assert list(summary.left_out) == [two.id]
    assert [problem.kind for problem in summary.problems] == ["not-mirrored"]
    assert [copy.original for copy in pair.copies()] == [one.id]
    assert pair.restored(pair.copies()[0], tmp_path / "out") == early


def test_what_is_damaged_in_one_pack_is_taken_from_another(pair: Any, source: Path, tmp_path: Path) -> None:
    pair.back_up(source)
    before = set(pair.packs(pair.first)) - cached_tree_packs(pair)
    with pair.open_first() as repository:
        # As a full backup does that distrusts what is there: everything is stored once more.
        repository.load_index().hide_packs(list(repository.index.packs()))
        PlainArchiver(repository, chunk=3000).back_up(source)
    for number, name in enumerate(sorted(before)):
        if number % 2:
            del pair.first.objects[name]
        else:
            damage(pair.first, name)
    summary = pair.copy()
    assert (summary.outcome, len(summary.snapshots_copied)) == (Outcome.COMPLETED, 2)
    assert pair.restored(pair.copies()[0], tmp_path / "out") == describe(source)


def test_an_unreadable_directory_keeps_its_snapshots_out(pair: Any, source: Path, tmp_path: Path) -> None:
    one = pair.back_up(source)
    trees = cached_tree_packs(pair)
    change(source, 1)
    two = pair.back_up(source)
    for name in cached_tree_packs(pair) - trees:
        del pair.first.objects[name]
    summary = pair.copy(cache=tmp_path / "a machine that never saw it")
    assert (list(summary.snapshots_copied), list(summary.left_out)) == ([one.id], [two.id])


def test_checking_finds_packs_that_the_mirror_lost_and_sends_them_again(
    pair: Any, source: Path, tmp_path: Path
) -> None:
    pair.back_up(source)
    pair.copy()
    for name in pair.packs(pair.second)[::2]:
        del pair.second.objects[name]
    assert pair.copy().packs == 0  # who does not look does not see
    summary = pair.copy(check=True)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert summary.packs > 0
    assert summary.snapshots_copied == {}
    assert pair.restored(pair.copies()[0], tmp_path / "out") == describe(source)
    assert pair.copy(check=False).packs == 0


def test_cancelling_leaves_what_was_sent_for_the_next_run(pair: Any, source: Path, tmp_path: Path) -> None:
    pair.back_up(source)
    cancel = CancelToken()
    first, second = pair.open_first(), pair.open_mirror()

    def stop_early(progress: Any) -> None:
        if progress.phase == "mirror" and progress.bytes_done > 100_000:
            cancel.cancel("enough")

    tracker = ProgressTracker(stop_early, clock=pair.clock, interval=0)
    with pytest.raises(Cancelled):
        mirror(first, second, first.snapshots(), clock=pair.clock, progress=tracker, cancel=cancel)
    sent = len(pair.packs(pair.second))
    assert sent > 0
    assert pair.copies() == []
    rest = pair.copy()
    assert rest.packs < len(pair.packs(pair.second))
    assert pair.restored(pair.copies()[0], tmp_path / "out") == describe(source)


def test_somebody_who_prunes_either_side_excludes_mirroring(pair: Any, source: Path) -> None:
    pair.back_up(source)
    with pair.open_mirror().lock(exclusive=True), pytest.raises(LockHeld):
        pair.copy()


@pytest.mark.slow
def test_after_a_power_cut_at_any_write_the_next_run_completes_the_mirror(
    pair: Any, source: Path, tmp_path: Path
) -> None:
    pair.back_up(source)
    pair.copy()
    early = describe(source)
    change(source, 1)
    pair.back_up(source)
    expected = describe(source)
    # A server that keeps halves of objects under their final names, which is the worst there is.
    worst = MemoryBackend("second", promises=Promises(atomic_put=False))
    clean = dict(pair.second.objects)
    worst.objects = dict(clean)
    counting = FaultyBackend(worst)
    pair.copy(target=counting)
    for number, fault in enumerate(every_fault(counting.count())):
        pair.second = MemoryBackend("second", promises=worst.promises)
        pair.second.objects = dict(clean)
        cache = tmp_path / f"cache{number}"
        with pytest.raises(PowerCut):
            pair.copy(target=FaultyBackend(pair.second, fault), cache=cache)
        for repository in pair.opened[-2:]:
            repository._journal._drop_file(keep=True)  # the process is dead, and its lock on the journal gone
        summary = pair.copy(cache=cache)
        assert summary.outcome is Outcome.COMPLETED, fault
        mirrored: Repository = pair.open_mirror(cache=cache)
        copies = mirrored.snapshots()
        assert len(copies) == 2, fault
        mirrored.load_index()
        assert mirrored.check_packs() == [], fault
        assert not [name for name in pair.second.objects if name.startswith("locks/")], fault
        if number % 3 == 0:  # every write, one of its moments
            assert pair.restored(copies[0], tmp_path / f"out{number}-1") == early, fault
            assert pair.restored(copies[1], tmp_path / f"out{number}-2") == expected, fault
