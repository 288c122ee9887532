"""A repository in memory with small chunks and packs, and a restore in one call."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.restore_plan import RestorePlan, plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import Depth, validate
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, Progress, ProgressTracker
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import CheckSummary, RestoreSummary
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.hostile_trees import HostileTree, make_hostile_tree
from backup_core.testing.plain_archiver import NodeHook, PlainArchiver
from backup_core.testing.recording import RecordingBackend
from backup_core.types import Secret

PACK = 64 * 1024


@dataclass
class Bench:
    """A repository and what is done with it."""

    store: MemoryBackend
    backend: RecordingBackend
    repository: Repository
    clock: ManualClock
    cancel: CancelToken = field(default_factory=CancelToken)
    told: list[Progress] = field(default_factory=list)

    def back_up(self, *sources: Path, chunk: int = 4096, hook: NodeHook = lambda _, nodes: nodes) -> Snapshot:
        snapshot = PlainArchiver(self.repository, chunk=chunk, hook=hook).back_up(*sources)
        self.backend.clear()
        return snapshot

    @property
    def progress(self) -> ProgressTracker:
        return ProgressTracker(self.told.append, clock=self.clock, interval=0)

    def plan(self, snapshot: Snapshot, target: Path, **wishes: Any) -> RestorePlan:
        return plan_restore(self.repository, snapshot, target, cancel=self.cancel, progress=self.progress, **wishes)

    def run(self, plan: RestorePlan, **wishes: Any) -> RestoreSummary:
        return run_restore(
            self.repository, plan, clock=self.clock, progress=self.progress, cancel=self.cancel, **wishes
        )

    def restore(self, snapshot: Snapshot, target: Path, **wishes: Any) -> RestoreSummary:
        running = {key: wishes.pop(key) for key in ("workers",) if key in wishes}
        return self.run(self.plan(snapshot, target, **wishes), verify=wishes.get("verify", False), **running)

    def validate(self, *snapshots: Snapshot, depth: Depth = "quick", **wishes: Any) -> list[CheckSummary]:
        self.backend.clear()
        found = validate(
            self.repository,
            list(snapshots),
            depth=depth,
            clock=self.clock,
            progress=self.progress,
            cancel=self.cancel,
            **wishes,
        )
        return [found[snapshot.id] for snapshot in snapshots]

    def packs(self) -> list[str]:
        """Names of all packs on the server."""
        return [
            entry.name
            for directory in self.store.list("data").directories
            for entry in self.store.list(directory).objects
        ]

    def fetched(self) -> list[str]:
        """Names of the packs asked for since the last backup."""
        return [name for name in self.backend.names("get") if name.startswith("data/")]


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Bench:
    """An empty repository."""
    store = MemoryBackend()
    backend = RecordingBackend(store)
    repository = Repository.create(
        backend,
        Secret("secret"),
        clock=clock,
        random_bytes=random.Random(7).randbytes,
        options=RepositoryOptions(pack_size=PACK, cache_directory=tmp_path / "cache"),
    )
    return Bench(store, backend, repository, clock)


@pytest.fixture
def readable_hostile_tree() -> Callable[..., HostileTree]:
    """Makes a hostile tree; without the rights of root, its one file that only root can read is made readable."""

    def make(root: Path, **wishes: int) -> HostileTree:
        made = make_hostile_tree(root, **wishes)
        if os.geteuid() != 0:
            (root / "modes" / "file-0000").chmod(0o400)
        return made

    return make
