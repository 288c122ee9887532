"""Backups of a hostile tree, judged by the real restic: both programs take turns in one repository."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary, Outcome
from backup_core.storage.local import LocalBackend
from backup_core.testing.hostile_trees import make_hostile_tree
from backup_core.testing.trees import describe, differences
from backup_core.types import Secret, TreeId

pytestmark = pytest.mark.restic

PASSWORD = "a password of both"
MIB = 1 << 20
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd files of every kind, 2,000 small ones, one of 40 MB, and one that is mostly a hole."""
    top = tmp_path_factory.mktemp("hostile") / "源 source"
    make_hostile_tree(top, small_files=2000, sparse_size=100 * MIB)
    (top / "large").write_bytes(random.Random(8).randbytes(40 * MIB))
    return top


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As hostile, but with no file longer than 512 KiB, which is what both programs cut alike."""
    top = tmp_path_factory.mktemp("small") / "small"
    make_hostile_tree(top, small_files=300)
    for path in top.rglob("*"):
        if not path.is_symlink() and path.is_file() and path.stat().st_size > 512 * 1024:
            path.unlink()
    return top


@pytest.fixture(params=["UTC", "Europe/Berlin"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Trees carry times in the machine's zone; both programs must see the same one."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


class Desk:
    """A repository on disk and our half of what is done with it."""

    def __init__(self, place: Path, cache: Path) -> None:
        self.place = place
        self._options = RepositoryOptions(cache_directory=cache, pack_size=4 * MIB)

    def back_up(self, *sources: Path, **wishes: Any) -> BackupSummary:
        backend = LocalBackend(self.place)
        arguments = (backend, Secret(PASSWORD))
        how = {"clock": CLOCK, "random_bytes": os.urandom, "options": self._options}
        known = (self.place / "config").exists()
        with Repository.open(*arguments, **how) if known else Repository.create(*arguments, **how) as repository:
            options = BackupOptions(
                **{
                    "sources": tuple(map(str, sources)),
                    "kind": "incremental",
                    "hostname": "host",
                    "username": "user",
                    "backup_id": "test",
                    **wishes,
                }
            )
            tracker = ProgressTracker(no_progress, clock=CLOCK)
            return run_backup(repository, options, clock=CLOCK, progress=tracker, cancel=CancelToken())

    def trees_of(self, source: Path) -> list[TreeId]:
        """The id of the source's own directory in each snapshot: those above it change with every other test."""
        with Repository.open(
            LocalBackend(self.place), Secret(PASSWORD), clock=CLOCK, random_bytes=os.urandom, options=self._options
        ) as repository:
            snapshots = repository.snapshots()
            repository.load_index()
            return [self._descend(repository, snapshot.tree, source) for snapshot in snapshots]

    @staticmethod
    def _descend(repository: Repository, tree: TreeId, source: Path) -> TreeId:
        for part in source.parts[1:]:
            node = next(n for n in repository.read_tree(tree) if n.name == os.fsencode(part))
            assert node.subtree is not None
            tree = node.subtree
        return tree


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "repository", tmp_path / "cache")


def restic_backup(restic: Any, desk: Desk, source: Path, *flags: str) -> dict[str, Any]:
    """What restic says of its own backup on top."""
    lines = restic.json("backup", "--host", "host", *flags, source, repository=desk.place, password=PASSWORD)
    return next(line for line in lines if line["message_type"] == "summary")


def restored_by(restic: Any, desk: Desk, source: Path, target: Path) -> list[str]:
    """How what restic restores differs from the source."""
    restic.run("restore", "latest", "--target", target, repository=desk.place, password=PASSWORD)
    return differences(describe(source, sockets=False), describe(target / source.relative_to("/")))


def test_restic_accepts_and_restores_a_hostile_tree(restic: Any, desk: Desk, hostile: Path, tmp_path: Path) -> None:
    done = desk.back_up(hostile)
    assert done.problems == ()
    assert done.outcome is Outcome.COMPLETED
    assert "no errors were found" in restic.check(desk.place, PASSWORD)
    different = restored_by(restic, desk, hostile, tmp_path / "restored")
    if not restic.knows_empty_passwords:  # 0.14 does not know targets of links that are not UTF-8
        different = [line for line in different if not line.startswith("b'links/bytes': target")]
    assert different == []


def test_restic_finds_every_directory_written_as_it_writes_them(
    restic_new: Any, desk: Desk, small: Path, zone: str
) -> None:
    desk.back_up(small)
    again = restic_backup(restic_new, desk, small, "--force")  # reads everything, ignores our snapshot
    assert again["data_blobs"] == 0
    assert again["tree_blobs"] <= len(small.parts)  # at most those above the source
    ours, theirs = desk.trees_of(small)
    assert ours == theirs
    assert "no errors were found" in restic_new.check(desk.place, PASSWORD)


def test_restic_takes_our_snapshot_as_parent(restic_new: Any, desk: Desk, hostile: Path) -> None:
    done = desk.back_up(hostile)
    again = restic_backup(restic_new, desk, hostile)
    assert (again["files_new"], again["files_changed"], again["dirs_new"], again["data_blobs"]) == (0, 0, 0, 0)
    assert again["dirs_changed"] < len(hostile.parts)
    ours, theirs = desk.trees_of(hostile)
    assert ours == theirs
    assert again["total_bytes_processed"] == done.total_size
    assert again["dirs_unmodified"] + again["dirs_changed"] == done.directories


def test_our_backup_on_top_of_that_of_restic_adds_nothing(restic_new: Any, desk: Desk, small: Path, zone: str) -> None:
    restic_new.run("init", repository=desk.place, password=PASSWORD)
    restic_backup(restic_new, desk, small)
    incremental = desk.back_up(small)
    assert incremental.backup_type == "incremental"
    assert (incremental.files_new, incremental.files_changed) == (0, 0)
    full = desk.back_up(small, kind="full")
    assert (full.files_new, full.files_changed, full.problems) == (0, 0, ())
    assert len(set(desk.trees_of(small))) == 1


def test_both_take_turns_on_changing_files(restic: Any, desk: Desk, tmp_path: Path) -> None:
    source = tmp_path / "turns"
    source.mkdir()
    chance = random.Random(2)
    for turn in range(4):
        (source / f"file{turn}").write_bytes(chance.randbytes(700_000))
        (source / "always").write_bytes(b"turn %d" % turn)
        if turn % 2:
            restic_backup(restic, desk, source)
        else:
            done = desk.back_up(source)
            assert (done.files_new, done.files_changed) == ((1, 1) if turn else (2, 0))
    assert "no errors were found" in restic.check(desk.place, PASSWORD)
    assert restored_by(restic, desk, source, tmp_path / "restored") == []
    snapshots = restic.json("snapshots", repository=desk.place, password=PASSWORD)
    assert [s["paths"] for s in snapshots] == [[str(source)]] * 4


def test_restic_repairs_prunes_and_rewrites_what_we_wrote(restic_new: Any, desk: Desk, small: Path) -> None:
    first = desk.back_up(small)
    (small / "one more").write_bytes(b"m" * 1000)
    desk.back_up(small)
    how = {"repository": desk.place, "password": PASSWORD}
    restic_new.run("rewrite", "--exclude", "one more", "--forget", "latest", **how)
    restic_new.run("repair", "snapshots", "--forget", **how)
    restic_new.run("forget", first.snapshot_id, "--prune", **how)
    assert "no errors were found" in restic_new.check(desk.place, PASSWORD)
    (small / "one more").unlink()
    assert desk.back_up(small).problems == ()
