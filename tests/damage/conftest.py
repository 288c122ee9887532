"""A repository in memory whose objects can be damaged, one at a time and in every way."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import Depth, validate
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import CheckSummary, RestoreSummary
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.plain_archiver import PlainArchiver
from backup_core.testing.trees import describe, make_tree
from backup_core.types import BlobType, PackId, Secret

PASSWORD = Secret("secret")


@dataclass
class Patient:
    """A repository with one backup, about to be damaged."""

    store: MemoryBackend
    source: Path
    snapshot: Snapshot
    clock: ManualClock
    cache: Path
    rooms: list[Path] = field(default_factory=list)

    def open(self, *, fresh: bool) -> Repository:
        """Open it, on this machine or on one that has never seen it."""
        self.rooms.append(self.cache.with_name(f"cache-{len(self.rooms)}"))
        options = RepositoryOptions(pack_size=64 * 1024, cache_directory=self.rooms[-1] if fresh else self.cache)
        return Repository.open(
            self.store, PASSWORD, clock=self.clock, random_bytes=random.Random(8).randbytes, options=options
        )

    @property
    def progress(self) -> ProgressTracker:
        return ProgressTracker(no_progress, clock=self.clock)

    def check(self, repository: Repository, depth: Depth, **wishes: object) -> CheckSummary:
        found = validate(
            repository,
            [self.snapshot],
            depth=depth,
            clock=self.clock,
            progress=self.progress,
            cancel=CancelToken(),
            **wishes,
        )
        return found[self.snapshot.id]

    def check_files(self) -> set[str]:
        """The files that a machine which knows nothing finds damaged."""
        with self.open(fresh=True) as repository:
            return set(self.check(repository, "data").damaged_files)

    def restore(self, repository: Repository, out: Path) -> RestoreSummary:
        cancel = CancelToken()
        plan = plan_restore(repository, self.snapshot, out, cancel=cancel, progress=self.progress)
        return run_restore(repository, plan, clock=self.clock, progress=self.progress, cancel=cancel)

    def packs(self, kind: BlobType) -> list[PackId]:
        """Packs of one kind, the largest first."""
        repository = self.open(fresh=True)
        index = repository.load_index()
        return sorted(
            (pack for pack in index.packs() if index.pack_blobs(pack)[0].type is kind),
            key=lambda pack: (-(index.pack_size(pack) or 0), pack),
        )

    def files_of(self, pack: PackId, matters: Callable[[int, int], bool] = lambda start, end: True) -> set[str]:
        """Absolute paths of the files with a blob in a part of a pack for which ``matters(start, end)``."""
        repository = self.open(fresh=True)
        index = repository.load_index()
        blobs = {b.id for b in index.pack_blobs(pack) if matters(b.offset, b.offset + b.length)}
        return {path for path, node in self._nodes(repository) if blobs.intersection(node.content or ())}

    def files(self) -> set[str]:
        """All paths but directories."""
        return {
            str(self.source / name.decode()) for name, entry in describe(self.source).items() if entry.kind != "dir"
        }

    def _nodes(self, repository: Repository) -> list[tuple[str, Node]]:
        found: list[tuple[str, Node]] = []
        pending = [("", self.snapshot.tree)]
        while pending:
            above, tree = pending.pop()
            for node in repository.read_tree(tree):
                found.append((f"{above}/{node.name.decode()}", node))
                if node.subtree is not None:
                    pending.append((found[-1][0], node.subtree))
        return found


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """A whole repository, and a machine that knows it well."""
    place = tmp_path_factory.mktemp("healthy")
    source = make_tree(place / "docs", files=50)
    (source / "big.bin").write_bytes(random.Random(2).randbytes(150_000))
    clock = ManualClock()
    store = MemoryBackend()
    repository = Repository.create(
        store,
        PASSWORD,
        clock=clock,
        random_bytes=random.Random(7).randbytes,
        options=RepositoryOptions(pack_size=64 * 1024, cache_directory=place / "cache"),
    )
    healthy = Patient(store, source, PlainArchiver(repository).back_up(source), clock, place / "cache")
    repository.close()
    # Everything that can be cached is: trees, snapshots, index, key.
    known = healthy.open(fresh=False)
    known.snapshots()
    healthy.check(known, "quick")
    known.close()
    return healthy


@pytest.fixture
def patient(healthy: Patient, tmp_path: Path) -> Patient:
    """A copy of it, to be damaged."""
    store = MemoryBackend()
    store.objects.update(healthy.store.objects)
    cache = Path(shutil.copytree(healthy.cache, tmp_path / "cache"))
    return Patient(store, healthy.source, healthy.snapshot, ManualClock(), cache)
