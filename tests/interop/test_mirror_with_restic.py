"""Mirrors, with restic as the judge: it checks and restores them, and takes our copies for its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.mirroring.run import mirror
from backup_core.engine.mirroring.summary import MirrorSummary
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import Outcome
from backup_core.storage.local import LocalBackend
from backup_core.testing.plain_archiver import PlainArchiver
from backup_core.testing.trees import describe, make_tree
from backup_core.types import Secret

pytestmark = pytest.mark.restic

FIRST, SECOND = "the first password", "the mirror's password"
CLOCK = SystemClock()


def opened(place: Path, password: str, cache: Path) -> Repository:
    options = RepositoryOptions(cache_directory=cache, pack_size=256 * 1024)
    return Repository.open(LocalBackend(place), Secret(password), clock=CLOCK, random_bytes=os.urandom, options=options)


def copy(tmp_path: Path) -> MirrorSummary:
    cache = tmp_path / "cache"
    with (
        opened(tmp_path / "first", FIRST, cache) as source,
        opened(tmp_path / "second", SECOND, cache) as target,
    ):
        tracker = ProgressTracker(no_progress, clock=CLOCK)
        return mirror(source, target, source.snapshots(), clock=CLOCK, progress=tracker, cancel=CancelToken())


def test_what_restic_wrote_is_mirrored_and_restored_by_restic(restic: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    source = make_tree(tmp_path / "source", files=30)
    restic.run("init", "--repository-version", "2", repository=first, password=FIRST)
    restic.run("backup", source, repository=first, password=FIRST)
    with opened(first, FIRST, tmp_path / "cache") as repository:
        Repository.create(
            LocalBackend(second),
            Secret(SECOND),
            clock=CLOCK,
            random_bytes=os.urandom,
            options=RepositoryOptions(cache_directory=tmp_path / "cache"),
            chunker_polynomial=repository.config.chunker_polynomial,
        ).close()
    assert copy(tmp_path).outcome is Outcome.COMPLETED
    (source / "later").write_bytes(os.urandom(500_000))
    with opened(first, FIRST, tmp_path / "cache") as repository:
        PlainArchiver(repository, chunk=90_000).back_up(source)
    assert len(copy(tmp_path).snapshots_copied) == 1
    assert "no errors were found" in restic.check(second, SECOND)
    snapshots = restic.json("snapshots", repository=second, password=SECOND)
    originals = restic.json("snapshots", repository=first, password=FIRST)
    assert [s["original"] for s in snapshots] == [s["id"] for s in originals]
    restic.run("restore", "latest", "--target", tmp_path / "out", repository=second, password=SECOND)
    assert describe(tmp_path / "out" / source.relative_to("/")) == describe(source)


def test_restic_does_not_copy_again_what_was_mirrored_here(restic_new: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    source = make_tree(tmp_path / "source", files=5)
    restic_new.run("init", repository=first, password=FIRST)
    restic_new.run("backup", source, repository=first, password=FIRST)
    restic_new.run("init", repository=second, password=SECOND)
    copy(tmp_path)
    before = sorted(path.name for path in second.rglob("*") if path.is_file())
    (tmp_path / "password").write_text(FIRST)
    restic_new.run(
        "copy", "--from-repo", first, "--from-password-file", tmp_path / "password",
        repository=second, password=SECOND,
    )  # fmt: skip
    assert sorted(path.name for path in second.rglob("*") if path.is_file()) == before
