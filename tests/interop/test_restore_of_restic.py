"""What restic wrote is restored, browsed and validated here exactly as restic itself would."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import run_backup
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.find import iterate_files
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import validate
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import CheckSummary, Outcome, RestoreSummary
from backup_core.storage.local import LocalBackend
from backup_core.testing.hostile_trees import make_hostile_tree
from backup_core.testing.trees import Entry, change_tree, describe, differences, make_tree
from backup_core.types import Secret

pytestmark = pytest.mark.restic

PASSWORD = "correct horse"
CLOCK = SystemClock()


@dataclass
class Ours:
    """A repository of restic's, opened here."""

    repository: Repository

    def restore(self, out: Path, which: int = -1, **wishes: object) -> RestoreSummary:
        progress = ProgressTracker(no_progress, clock=CLOCK)
        cancel = CancelToken()
        snapshot = self.repository.snapshots()[which]
        plan = plan_restore(self.repository, snapshot, out, cancel=cancel, progress=progress, **wishes)
        return run_restore(
            self.repository, plan, clock=CLOCK, progress=progress, cancel=cancel, verify=bool(wishes.get("verify"))
        )

    def validate(self, depth: str) -> CheckSummary:
        snapshot = self.repository.snapshots()[-1]
        progress = ProgressTracker(no_progress, clock=CLOCK)
        cancel = CancelToken()
        return validate(self.repository, [snapshot], depth=depth, clock=CLOCK, progress=progress, cancel=cancel)[
            snapshot.id
        ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def opened(place: Path) -> Ours:
    options = RepositoryOptions(cache_directory=place.with_name("cache"))
    return Ours(
        Repository.open(LocalBackend(place), Secret(PASSWORD), clock=CLOCK, random_bytes=os.urandom, options=options)
    )


def told(root: Path) -> dict[bytes, Entry]:
    return describe(root, sockets=False)


def test_a_hostile_tree_that_restic_backed_up(tmp_path: Path, place: Path, restic) -> None:
    source = make_hostile_tree(tmp_path / "source", small_files=500, sparse_size=40_000_000).root
    if not restic.knows_empty_passwords:
        # Link targets that are not UTF-8 are damaged by old programs when they write them.
        (source / "links" / "bytes").unlink()
    restic.run("init", repository=place, password=PASSWORD)
    restic.run("backup", source, repository=place, password=PASSWORD)
    summary = opened(place).restore(tmp_path / "ours", verify=True)
    assert summary.failed == {}
    assert summary.outcome is Outcome.COMPLETED, summary.problems
    assert differences(told(source), told(tmp_path / "ours" / "source")) == []
    restic.run("restore", "latest", "--target", tmp_path / "theirs", repository=place, password=PASSWORD)
    theirs = Path(f"{tmp_path}/theirs{source}")
    assert differences(told(theirs), told(tmp_path / "ours" / "source")) == []
    found = opened(place).validate("restore")
    assert found.is_valid, found
    assert found.files_passed == sum(e.kind != "dir" for e in describe(source, sockets=False).values())


def test_several_backups_of_a_changing_tree(tmp_path: Path, place: Path, restic) -> None:
    source = make_tree(tmp_path / "source", files=60)
    restic.run("init", repository=place, password=PASSWORD)
    states = []
    for seed in range(3):
        restic.run("backup", source, repository=place, password=PASSWORD)
        states.append(told(source))
        change_tree(source, seed=seed)
    ours = opened(place)
    for number, state in enumerate(states):
        # Into the same target each time: what stays is kept, what changed is brought back, what is too much goes.
        summary = ours.restore(tmp_path / "out", number, delete=True)
        assert summary.outcome is Outcome.COMPLETED
        assert differences(state, told(tmp_path / "out" / "source")) == []
        assert (summary.files_unchanged > 0) is (number > 0)


@pytest.mark.parametrize("how", ["relative", "dot", "two", "file"])
def test_ways_to_name_a_source(tmp_path: Path, place: Path, restic_new, how: str) -> None:
    one, two = (make_tree(tmp_path / "work" / name / "docs", seed=ord(name), files=5) for name in "ab")
    arguments, cwd, expected = {
        "relative": (["a/docs"], tmp_path / "work", {"docs": one}),
        "dot": (["."], tmp_path / "work", {"a/docs": one, "b/docs": two}),
        "two": ([one, two], None, {"a/docs": one, "b/docs": two}),
        "file": ([next(p for p in one.rglob("*") if p.is_file())], None, {}),
    }[how]
    restic_new.run("init", repository=place, password=PASSWORD)
    restic_new.run("backup", *arguments, repository=place, password=PASSWORD, cwd=cwd)
    assert opened(place).restore(tmp_path / "out").outcome is Outcome.COMPLETED
    for name, source in expected.items():
        assert differences(told(source), told(tmp_path / "out" / name)) == []
    if how == "file":
        (restored,) = (tmp_path / "out").iterdir()
        assert restored.read_bytes() == arguments[0].read_bytes()


def test_a_repository_from_before_compression(tmp_path: Path, place: Path, restic_old) -> None:
    source = make_tree(tmp_path / "source", files=20)
    restic_old.run("init", "--repository-version", "1", repository=place, password=PASSWORD)
    restic_old.run("backup", source, repository=place, password=PASSWORD)
    ours = opened(place)
    assert ours.restore(tmp_path / "out").outcome is Outcome.COMPLETED
    assert differences(told(source), told(tmp_path / "out" / "source")) == []
    assert ours.validate("data").is_valid


def test_the_same_files_are_listed(tmp_path: Path, place: Path, restic) -> None:
    source = make_tree(tmp_path / "source", files=30)
    restic.run("init", repository=place, password=PASSWORD)
    restic.run("backup", source, repository=place, password=PASSWORD)
    theirs = restic.json("ls", "latest", repository=place, password=PASSWORD)
    expected = [(node["path"], node.get("size", 0)) for node in theirs if node.get("type") == "file"]
    ours = opened(place).repository
    found = [(path.decode(), node.size) for path, node in iterate_files(ours, ours.snapshots()[0])]
    assert sorted(found) == sorted(expected)


def test_both_restore_what_was_backed_up_here(tmp_path: Path, place: Path, restic_new) -> None:
    source = make_hostile_tree(tmp_path / "source", small_files=300, sparse_size=20_000_000).root
    ours = Ours(
        Repository.create(
            LocalBackend(place),
            Secret(PASSWORD),
            clock=CLOCK,
            random_bytes=os.urandom,
            options=RepositoryOptions(cache_directory=tmp_path / "cache"),
        )
    )
    run_backup(
        ours.repository,
        BackupOptions(sources=(str(source),), kind="full", hostname="h", username="u", backup_id="b_20261123_020000"),
        clock=CLOCK,
        progress=ProgressTracker(no_progress, clock=CLOCK),
        cancel=CancelToken(),
    )
    assert ours.restore(tmp_path / "ours").outcome is Outcome.COMPLETED
    assert differences(told(source), told(tmp_path / "ours" / "source")) == []
    restic_new.run("restore", "latest", "--target", tmp_path / "theirs", repository=place, password=PASSWORD)
    assert differences(told(source), told(Path(f"{tmp_path}/theirs{source}"))) == []
    assert ours.validate("data").is_valid


@pytest.mark.parametrize("kind", ["flip", "delete", "truncate"])
def test_both_see_the_same_damage(tmp_path: Path, place: Path, restic_new, kind: str) -> None:
    source = make_tree(tmp_path / "source", files=30)
    (source / "big").write_bytes(random.Random(1).randbytes(6_000_000))
    restic_new.run("init", repository=place, password=PASSWORD)
    restic_new.run("backup", source, repository=place, password=PASSWORD)
    assert opened(place).validate("data").is_valid
    pack = max((p for p in (place / "data").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[1000] ^= 1
    if kind == "delete":
        pack.unlink()
    else:
        pack.write_bytes(content if kind == "flip" else content[:-1])
    ours = opened(place).validate("data")
    assert not ours.is_valid
    assert pack.name in {problem.object_id for problem in ours.problems}
    theirs = restic_new.run("check", "--read-data", repository=place, password=PASSWORD, check=False)
    assert theirs.returncode != 0
    assert pack.name[:8] in theirs.stdout + theirs.stderr
    summary = opened(place).restore(tmp_path / "out")
    assert {f"/{path}" for path in summary.failed} == {path.removeprefix(str(tmp_path)) for path in ours.damaged_files}
