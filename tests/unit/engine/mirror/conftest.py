"""Two repositories: one that is backed up into, and its mirror."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.mirroring.run import mirror
from backup_core.engine.mirroring.summary import MirrorSummary
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import Outcome
from backup_core.storage.backend import Backend
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.plain_archiver import PlainArchiver
from backup_core.testing.recording import RecordingBackend
from backup_core.testing.trees import describe
from backup_core.types import Secret

PACK = 64 * 1024
FIRST_PASSWORD, MIRROR_PASSWORD = Secret("first"), Secret("mirror")


@dataclass
class Pair:
    """Both places, and this machine's cache of them."""

    first: MemoryBackend
    second: MemoryBackend
    cache: Path
    clock: ManualClock
    opened: list[Repository] = field(default_factory=list)
    asked: list[RecordingBackend] = field(default_factory=list)
    first_password: Secret = FIRST_PASSWORD

    def open(self, backend: Backend, password: Secret, *, cache: Path | None = None) -> Repository:
        """As a fresh process would."""
        options = RepositoryOptions(pack_size=PACK, cache_directory=cache or self.cache)
        repository = Repository.open(
            backend, password, clock=self.clock, random_bytes=random.randbytes, options=options
        )
        self.opened.append(repository)
        return repository

    def open_first(self) -> Repository:
        return self.open(self.first, FIRST_PASSWORD)

    def open_mirror(self, *, cache: Path | None = None) -> Repository:
        return self.open(self.second, MIRROR_PASSWORD, cache=cache)

    def back_up(self, source: Path) -> Snapshot:
        self.clock.advance(60)
        with self.open(self.first, FIRST_PASSWORD) as repository:
            return PlainArchiver(repository, chunk=3000).back_up(source, tags=("config:docs",))

    def copy(
        self,
        *snapshots: Snapshot,
        source: Backend | None = None,
        target: Backend | None = None,
        cache: Path | None = None,
        **wishes: Any,
    ) -> MirrorSummary:
        """Mirror these snapshots (all, when none is named); ``asked`` are the two backends, recorded."""
        self.asked = [RecordingBackend(source or self.first), RecordingBackend(target or self.second)]
        opened = self.open(self.asked[0], FIRST_PASSWORD, cache=cache)
        mirrored = self.open(self.asked[1], MIRROR_PASSWORD, cache=cache)
        wanted = list(snapshots) or opened.snapshots()
        tracker = ProgressTracker(no_progress, clock=self.clock)
        return mirror(opened, mirrored, wanted, clock=self.clock, progress=tracker, cancel=CancelToken(), **wishes)

    def copies(self) -> list[Snapshot]:
        return self.open_mirror().snapshots()

    def restored(self, copy: Snapshot, out: Path) -> dict[bytes, Any]:
        """What a copy gives back, from the mirror alone, on a machine that has never seen either."""
        repository = self.open(self.second, MIRROR_PASSWORD, cache=out.with_name(out.name + "-cache"))
        cancel = CancelToken()
        tracker = ProgressTracker(no_progress, clock=self.clock)
        plan = plan_restore(repository, copy, out, cancel=cancel, progress=tracker)
        summary = run_restore(repository, plan, clock=self.clock, progress=tracker, cancel=cancel)
        assert summary.outcome is Outcome.COMPLETED, summary
        return describe(out / "source")

    def packs(self, backend: MemoryBackend) -> list[str]:
        return sorted(name for name in backend.objects if name.startswith("data/"))


@pytest.fixture
def pair(tmp_path: Path, clock: ManualClock) -> Iterator[Pair]:
    first, second = MemoryBackend("first"), MemoryBackend("second")
    made = Pair(first, second, tmp_path / "cache", clock)
    options = RepositoryOptions(pack_size=PACK, cache_directory=made.cache)
    chance = random.Random(5)
    source = Repository.create(first, FIRST_PASSWORD, clock=clock, random_bytes=chance.randbytes, options=options)
    Repository.create(
        second,
        MIRROR_PASSWORD,
        clock=clock,
        random_bytes=chance.randbytes,
        options=options,
        chunker_polynomial=source.config.chunker_polynomial,
    ).close()
    source.close()
    yield made
    for repository in made.opened:
        repository.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Nine files in three directories, 400 kB; some compress, some do not."""
    chance = random.Random(11)
    top = tmp_path / "source"
    for directory in ("a", "a/b", "c"):
        (top / directory).mkdir(parents=True)
        for number in range(2):
            (top / directory / f"file{number}").write_bytes(chance.randbytes(60_000))
        (top / directory / "text").write_text(f"{directory} and more of it\n" * 700)
    return top
