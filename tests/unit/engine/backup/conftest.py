"""A repository in memory, and a backup in one call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, Progress, ProgressTracker
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.storage.backend import Backend
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.recording import RecordingBackend
from backup_core.types import BlobType, Secret, TreeId


@dataclass
class Bench:
    """A repository and what is done with it."""

    store: MemoryBackend
    backend: RecordingBackend
    repository: Repository
    clock: ManualClock
    options: RepositoryOptions
    cancel: CancelToken = field(default_factory=CancelToken)
    told: list[Progress] = field(default_factory=list)
    number: int = 0

    def back_up(
        self, *sources: Path | str, sink: Callable[[Progress], None] | None = None, **wishes: Any
    ) -> BackupSummary:
        """Incremental, with two threads, unless wished otherwise."""
        self.number += 1
        self.clock.advance(60)
        self.backend.clear()
        options = BackupOptions(
            **{
                "sources": tuple(map(str, sources)),
                "kind": "incremental",
                "hostname": "host",
                "username": "user",
                "tags": ("config:test",),
                "backup_id": f"test_{self.number}",
                "start_method": "thread",
                "workers": 2,
                **wishes,
            }
        )
        progress = ProgressTracker(sink or self.told.append, clock=self.clock, interval=0)
        return run_backup(self.repository, options, clock=self.clock, progress=progress, cancel=self.cancel)

    def reopened(self, backend: Backend | None = None) -> Bench:
        """The same repository as another process opens it."""
        recording = RecordingBackend(backend or self.store)
        repository = Repository.open(
            recording, Secret("pw"), clock=self.clock, random_bytes=random.randbytes, options=self.options
        )
        return Bench(self.store, recording, repository, self.clock, self.options, number=self.number)

    def snapshot(self, summary: BackupSummary) -> Snapshot:
        return self.repository.load_snapshot(summary.snapshot_id)

    def nodes(self, summary: BackupSummary, below: Path | None = None) -> dict[str, Node]:
        """Relative path -> node of everything below a directory (by default the root of the snapshot)."""
        tree = self.snapshot(summary).tree
        for part in below.parts[1:] if below else ():
            found = next(n for n in self.repository.read_tree(tree) if n.name == part.encode())
            assert found.subtree is not None
            tree = found.subtree
        return dict(self._walk(tree, ""))

    def content(self, node: Node) -> bytes:
        return b"".join(self.repository.read_blob(blob, BlobType.DATA) for blob in node.content or ())

    def contents(self, summary: BackupSummary, below: Path) -> dict[str, bytes]:
        """Relative path -> content of the files below a directory."""
        return {path: self.content(n) for path, n in self.nodes(summary, below).items() if n.type == "file"}

    def packs(self) -> list[str]:
        return sorted(name for name in self.store.objects if name.startswith("data/"))

    def _walk(self, tree: TreeId, prefix: str) -> Iterator[tuple[str, Node]]:
        for node in self.repository.read_tree(tree):
            path = prefix + node.name.decode("utf-8", "surrogateescape")
            yield path, node
            if node.subtree is not None:
                yield from self._walk(node.subtree, path + "/")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = MemoryBackend()
    backend = RecordingBackend(store)
    clock = ManualClock()
    options = RepositoryOptions(pack_size=256 * 1024, cache_directory=tmp_path / "cache")
    repository = Repository.create(
        backend, Secret("pw"), clock=clock, random_bytes=random.Random(7).randbytes, options=options
    )
    with repository:
        yield Bench(store, backend, repository, clock, options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve files in three directories, 900 kB in all."""
    chance = random.Random(11)
    top = tmp_path / "source"
    for directory in ("a", "a/b", "c"):
        (top / directory).mkdir(parents=True)
        for number in range(4):
            (top / directory / f"file{number}").write_bytes(chance.randbytes(75_000))
    return top
