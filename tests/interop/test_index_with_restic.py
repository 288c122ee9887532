"""Index files that were merged, or written anew after packs were lost, with restic as the judge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository import index_rewrite
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.storage.local import LocalBackend
from backup_core.types import Secret

pytestmark = pytest.mark.restic

PASSWORD = "a password"
CLOCK = SystemClock()


def back_up(place: Path, source: Path, cache: Path, kind: Any = "incremental") -> BackupSummary:
    backend, options = LocalBackend(place), RepositoryOptions(cache_directory=cache)
    wishes = BackupOptions(
        sources=(str(source),), kind=kind, hostname="host", username="user", backup_id="id", start_method="thread"
    )
    with Repository.open(
        backend, Secret(PASSWORD), clock=CLOCK, random_bytes=os.urandom, options=options
    ) as repository:
        progress = ProgressTracker(no_progress, clock=CLOCK)
        return run_backup(repository, wishes, clock=CLOCK, progress=progress, cancel=CancelToken())


@pytest.fixture
def place(restic: Any, tmp_path: Path) -> Path:
    restic.run("init", "--repository-version", "2", repository=tmp_path / "repository", password=PASSWORD)
    return tmp_path / "repository"


def test_restic_reads_merged_index_files_and_goes_on(
    restic: Any, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_rewrite, "MERGE_AT", 4)
    tool = {"repository": place, "password": PASSWORD}
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        (source / f"file {number}").write_bytes(os.urandom(50_000))
        if number == 2:
            restic.run("backup", source, **tool)
        else:
            back_up(place, source, tmp_path / "cache")
    assert len(list((place / "index").iterdir())) == 1
    said = restic.run("check", "--read-data", **tool)
    assert "no errors were found" in said.stdout
    assert "contained in several indexes" not in said.stdout + said.stderr
    restic.run("backup", source, **tool)
    restic.run("restore", "latest", "--target", tmp_path / "out", **tool)
    for path in source.iterdir():
        assert (tmp_path / "out" / path.relative_to("/")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_check_is_clean_after_a_full_backup_has_replaced_what_was_lost(
    restic: Any, place: Path, tmp_path: Path, damage: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(300_000))
    back_up(place, source, tmp_path / "cache")
    # Packs of trees stay: those of directories above the source, which others change meanwhile, do not come again.
    lost = [path for path in (place / "data").rglob("*") if path.is_file() and path.stat().st_size > 300_000]
    assert len(lost) == 1
    for pack in lost:
        pack.unlink() if damage == "missing" else os.truncate(pack, 100)
    done = back_up(place, source, tmp_path / "cache", "full")
    assert any("taken off the index" in note for note in done.notes)
    # Before, restic looks for the lost packs for a quarter of an hour, and then complains.
    assert "no errors were found" in restic.check(place, PASSWORD)
