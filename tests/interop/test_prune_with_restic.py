"""Repositories that were pruned here, with restic as the judge - of its own backups and of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.repository.repository import Repository
from backup_core.storage.local import LocalBackend
from backup_core.types import Secret, SnapshotId

pytestmark = pytest.mark.restic

PASSWORD = "a password"
THOROUGH = PruneBounds(max_unused_share=0)


def opened(place: Path, cache: Path) -> Repository:
    options = RepositoryOptions(cache_directory=cache)
    return Repository.open(
        LocalBackend(place), Secret(PASSWORD), clock=SystemClock(), random_bytes=os.urandom, options=options
    )


def fill(source: Path, names: str) -> None:
    (source / "below").mkdir(parents=True, exist_ok=True)
    for name in names:
        (source / name).write_bytes(os.urandom(700_000))
        (source / "below" / name).write_bytes(name.encode() * 5000)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_restic_wrote_and_we_prune(restic: Any, tmp_path: Path) -> None:
    place, source = tmp_path / "repository", tmp_path / "source"
    tool = {"repository": place, "password": PASSWORD}
    restic.run("init", "--repository-version", "2", **tool)
    fill(source, "abcdef")
    restic.run("backup", source, **tool)
    for name in "bcd":
        (source / name).unlink()
    fill(source, "gh")
    restic.run("backup", source, **tool)
    expected = contents(source)
    with opened(place, tmp_path / "cache") as repository:
        with repository.lock(exclusive=True):
            repository.remove_snapshot(SnapshotId(repository.snapshots()[0].id))
        report = prune(repository, THOROUGH)
    assert report.plan.repack
    assert report.bytes_written
    said = restic.run("check", "--read-data", **tool)
    assert "no errors were found" in said.stdout
    assert "additional files" not in said.stdout + said.stderr
    restic.run("restore", "latest", "--target", tmp_path / "out", **tool)
    assert contents(tmp_path / "out" / source.relative_to("/")) == expected
    fill(source, "ij")
    restic.run("backup", source, **tool)
    restic.run("forget", "--keep-last", "1", "--prune", **tool)
    with opened(place, tmp_path / "cache") as repository:
        prune(repository, THOROUGH)
    assert "no errors were found" in restic.run("check", "--read-data", **tool).stdout


def test_what_an_interrupted_restic_left_is_removed(restic: Any, tmp_path: Path) -> None:
    place, source = tmp_path / "repository", tmp_path / "source"
    tool = {"repository": place, "password": PASSWORD}
    restic.run("init", "--repository-version", "2", **tool)
    fill(source, "ab")
    restic.run("backup", source, **tool)
    index = set((place / "index").iterdir())
    fill(source, "cd")
    restic.run("backup", source, **tool)
    # As if it had been killed before it wrote its index file and its snapshot.
    (late,) = set((place / "index").iterdir()) - index
    newest = max((place / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    late.unlink()
    newest.unlink()
    with opened(place, tmp_path / "cache") as repository:
        report = prune(repository, THOROUGH)
    assert report.plan.orphans
    said = restic.run("check", "--read-data", **tool)
    assert "no errors were found" in said.stdout
    assert "additional files" not in said.stdout + said.stderr
