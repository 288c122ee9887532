"""Repositories that released versions of Davault and restic wrote are read, restored and appended to, for ever.

``make.py`` beside this file made them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import validate
from backup_core.errors import UnsupportedVersion
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import Outcome
from backup_core.services.run_records.keeper import newest_records
from backup_core.storage.local import LocalBackend
from backup_core.testing.trees import describe, make_tree
from backup_core.types import Secret

HERE = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in HERE.glob("*.tar.xz"))
CLOCK = SystemClock()


def how() -> dict[str, Any]:
    return {"cancel": CancelToken(), "progress": ProgressTracker(no_progress, clock=CLOCK)}


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(HERE / f"{request.param}.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    return tmp_path / "repository"


@pytest.fixture
def states(place: Path, request: pytest.FixtureRequest) -> list[dict[bytes, tuple[Any, ...]]]:
    """What each backup of the repository holds: name -> kind, mode, time, size, digest, target, twin."""
    told = json.loads((HERE / f"{request.node.callspec.params['place']}.json").read_text())
    return [{base64.b64decode(name): tuple(facts) for name, *facts in state} for state in told]


def opened(place: Path) -> Repository:
    options = RepositoryOptions(cache_directory=place.with_name("cache"))
    return Repository.open(LocalBackend(place), Secret("golden"), clock=CLOCK, random_bytes=os.urandom, options=options)


def found(root: Path) -> dict[bytes, tuple[Any, ...]]:
    return {
        name: (e.kind, e.mode, e.mtime_ns, e.size, e.digest, base64.b64encode(e.target).decode(),
               base64.b64encode(e.twin).decode())
        for name, e in describe(root).items()
    }  # fmt: skip


def test_the_set_is_whole() -> None:
    assert {"restic-0.14-format-1", "restic-0.14", "restic-0.18", "davault-0.1.0"} <= set(NAMES)


def test_it_is_validated_and_restored(place: Path, states: list[Any], tmp_path: Path) -> None:
    with opened(place) as repository:
        snapshots = repository.snapshots()
        assert len(snapshots) == len(states) == 2
        for snapshot, state in zip(snapshots, states, strict=True):
            assert validate(repository, [snapshot], depth="data", clock=CLOCK, **how())[snapshot.id].is_valid
            out = tmp_path / snapshot.id[:8]
            plan = plan_restore(repository, snapshot, out, **how())
            done = run_restore(repository, plan, clock=CLOCK, **how())
            assert done.outcome is Outcome.COMPLETED, done.problems
            assert found(out / "source") == state


def test_it_is_appended_to(place: Path, states: list[Any], tmp_path: Path, restic_new: Any) -> None:
    source = make_tree(tmp_path / "mine", files=5)
    options = BackupOptions(
        sources=(str(source),), kind="incremental", hostname="h", username="u", backup_id="b", workers=1
    )
    with opened(place) as repository:
        if repository.config.version == 1:
            with pytest.raises(UnsupportedVersion):
                run_backup(repository, options, clock=CLOCK, **how())
            return
        done = run_backup(repository, options, clock=CLOCK, **how())
        assert done.outcome is Outcome.COMPLETED, done.problems
        snapshots = repository.snapshots()
        # A machine that has nothing of it finds the new one beside the old ones, all of them whole.
        shutil.rmtree(place.with_name("cache"))
    assert len(snapshots) == len(states) + 1
    with opened(place) as repository:
        checked = validate(repository, snapshots, depth="data", clock=CLOCK, **how())
        assert all(summary.is_valid and not summary.problems for summary in checked.values())
        out = tmp_path / "out"
        run_restore(
            repository,
            plan_restore(repository, repository.load_snapshot(done.snapshot_id), out, **how()),
            clock=CLOCK,
            **how(),
        )
        assert found(out / "mine") == found(source)
    restic_new.check(place, "golden")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("davault")])
def test_its_records_are_understood(name: str, tmp_path: Path) -> None:
    with tarfile.open(HERE / f"{name}.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    with opened(tmp_path / "repository") as repository:
        problems: list[Any] = []
        (document,) = newest_records(repository, problems=problems).values()
        assert problems == []
        assert [config["name"] for config in document.configurations] == ["golden"]
        assert {known.snapshot_id for known in document.snapshots} == {s.id for s in repository.snapshots()}
        assert len(document.areas["runs"]) == 2
