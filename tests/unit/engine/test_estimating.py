"""What is reckoned from a sample, against what is stored then."""

from __future__ import annotations

import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.estimating import appraisal
from backup_core.engine.estimating.sample import MOST_FILES, SizeSample
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.storage.memory import MemoryBackend
from backup_core.types import Secret

CLOCK = SystemClock()
MIB = 1 << 20


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    options = RepositoryOptions(cache_directory=tmp_path / "cache")
    with Repository.create(
        MemoryBackend(), Secret("pw"), clock=CLOCK, random_bytes=random.Random(3).randbytes, options=options
    ) as made:
        yield made


def run(repository: Repository, source: Path, *, dry_run: bool = False, **wishes: Any) -> BackupSummary:
    options = BackupOptions(
        sources=(str(source),),
        kind=wishes.pop("kind", "incremental"),
        hostname="host",
        username="user",
        backup_id="id",
        start_method="thread",
        workers=2,
        dry_run=dry_run,
        **wishes,
    )
    progress = ProgressTracker(no_progress, clock=CLOCK)
    return run_backup(repository, options, clock=CLOCK, progress=progress, cancel=CancelToken())


def assert_close(repository: Repository, source: Path, **wishes: Any) -> BackupSummary:
    rehearsal = run(repository, source, dry_run=True, **wishes)
    done = run(repository, source, **wishes)
    assert rehearsal.stored_size == pytest.approx(done.stored_size, rel=0.15, abs=3000)
    assert rehearsal.planned is not None
    assert rehearsal.planned.sampled_bytes <= rehearsal.planned.bytes_read
    assert rehearsal.planned.packs == pytest.approx(done.packs, abs=1)
    return rehearsal


def library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


@pytest.mark.parametrize("part", ["email", "encodings", "unittest", "idlelib"])
def test_real_trees(repository: Repository, part: str) -> None:
    if not (library() / part).is_dir():
        pytest.skip(f"this Python has no {part}")
    assert_close(repository, library() / part)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Text, noise, copies of small and of large files: 40 MB."""
    chance = random.Random(5)
    top = tmp_path / "source"
    words = [chance.randbytes(4).hex() for _ in range(3000)]
    for number in range(600):
        path = top / f"d{number % 20}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(chance.choices(words, k=chance.randint(10, 4000))))
    for number in range(8):
        (top / f"large{number}").write_bytes(chance.randbytes(2 * MIB + number))
    for number in range(4):
        shutil.copy(top / f"large{number}", top / f"copy{number}")
    for number in range(0, 600, 3):
        shutil.copy(top / f"d{number % 20}" / f"{number}.txt", top / "d1" / f"copy of {number}.txt")
    return top


def test_a_small_part_speaks_for_all(repository: Repository, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appraisal, "READ_AT_MOST", 6 * MIB)
    monkeypatch.setattr(appraisal, "_AT_LEAST", 200_000)
    rehearsal = assert_close(repository, mixed)
    assert rehearsal.planned is not None
    assert rehearsal.planned.sampled_bytes < rehearsal.planned.bytes_read / 2


def test_what_is_stored_already_does_not_count(repository: Repository, mixed: Path, tmp_path: Path) -> None:
    run(repository, mixed)
    mixed.rename(tmp_path / "moved")
    (tmp_path / "moved" / "new").write_bytes(random.Random(4).randbytes(3 * MIB))
    rehearsal = assert_close(repository, tmp_path / "moved")
    assert 3 * MIB < rehearsal.stored_size < 4 * MIB


def test_an_incremental_backup_counts_only_what_changed(repository: Repository, mixed: Path) -> None:
    run(repository, mixed)
    with (mixed / "large0").open("r+b") as file:
        file.write(random.Random(4).randbytes(1000))
    rehearsal = assert_close(repository, mixed)
    assert rehearsal.planned is not None
    assert rehearsal.planned.bytes_read == 2 * MIB
    assert rehearsal.stored_size < 2 * MIB


def test_without_compression(repository: Repository, mixed: Path) -> None:
    assert_close(repository, mixed, compression=False)


def test_a_rehearsal_writes_nothing(repository: Repository, mixed: Path) -> None:
    before = dict(repository.backend.objects)  # type: ignore[attr-defined]  # a MemoryBackend
    done = run(repository, mixed, dry_run=True)
    assert repository.backend.objects == before  # type: ignore[attr-defined]
    assert (done.snapshot_id, done.dry_run) == ("", True)


def test_files_that_cannot_be_read_count_like_others(
    repository: Repository, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.open

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if os.fsencode(path).endswith(b"large1"):
            raise PermissionError(13, "no")
        return honest(path, *rest, **more)

    whole = run(repository, mixed, dry_run=True).stored_size
    monkeypatch.setattr(os, "open", refuse)
    assert run(repository, mixed, dry_run=True).stored_size == pytest.approx(whole, rel=0.15)


def test_memory_does_not_grow_with_the_source_and_copies_stay_together() -> None:
    sample = SizeSample()
    for number in range(100_000):
        sample.add(b"%d" % number, 1024 + number // 2 % 1000)
    (stratum,) = sample.strata.values()
    assert (stratum.files, sample.bytes) == (100_000, stratum.bytes)
    chosen = stratum.sample(1 << 40)
    assert 0 < len(chosen) <= MOST_FILES
    of_each_size = {size: sum(file.size == size for file in chosen) for size in {file.size for file in chosen}}
    assert set(of_each_size.values()) == {100}


def test_many_files_of_one_size() -> None:
    sample = SizeSample()
    for number in range(20_000):
        sample.add(b"%d" % number, 4096)
    (stratum,) = sample.strata.values()
    assert 100 < len(stratum.sample(1 << 40)) <= MOST_FILES
    assert len(stratum.sample(4096)) == 1
