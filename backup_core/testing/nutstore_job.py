"""A whole life of backups on the double of Nutstore: first backup, incremental one, validations, restore.

Time passes by the double's clock alone, so the hours that windows take cost nothing. ``benchmarks/nutstore.py`` runs it
with 3 GiB in 20,000 files.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import httpx

from backup_core.clock import Clock, SystemClock
from backup_core.deferred import dataclass
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import validate
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary, Outcome
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.nutstore import ORIGIN, Nutstore
from backup_core.types import Secret

_PASSWORD = Secret("key")


@dataclass(frozen=True, slots=True)
class Step:
    """What one step cost."""

    name: str
    requests: int
    by_method: dict[str, int]
    refused: int
    """Requests beyond the window."""
    packs: int
    waited: float
    """Seconds, by the clock of the double."""
    seconds: float
    """Really."""


class NutstoreJob:
    """One account, one source, and the programs that come one after the other."""

    def __init__(self, folder: Path, *, size: int, files: int, pack_size: int | None = None) -> None:
        """``folder`` takes source, cache and restored files; ``size`` in bytes; ``pack_size`` None as the profile."""
        self.clock = ManualClock()
        self.server = Nutstore(self.clock, upload_left=4 * size, download_left=8 * size)
        self.source = folder / "source"
        self._folder = folder
        self._size = size
        self._files = files
        self._options = RepositoryOptions(
            cache_directory=folder / "cache", pack_size=pack_size, hostname="host", username="user"
        )
        self._real: Clock = SystemClock()
        self.steps: list[Step] = []

    def make_source(self) -> None:
        """Files of all lengths that do not compress and share nothing."""
        chance = random.Random(1)
        weights = [chance.expovariate(1) + 0.05 for _ in range(self._files)]
        scale = self._size / sum(weights)
        for number, weight in enumerate(weights):
            path = self.source / f"folder {number % 150:03}" / f"文件 {number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(int(weight * scale)))

    def change_source(self) -> None:
        """One file in a hundred is another now, and some are new."""
        chance = random.Random(2)
        for number in range(0, self._files, 100):
            path = self.source / f"folder {number % 150:03}" / f"文件 {number}.bin"
            path.write_bytes(chance.randbytes(path.stat().st_size + 1))
        for number in range(10):
            (self.source / f"new {number}").write_bytes(chance.randbytes(10_000))

    def run(self) -> list[Step]:
        """All steps; raises ``AssertionError`` when one does not end as it should."""
        self._step("init", self._create)
        self._step("first backup", self._back_up)
        self._step("run without changes", self._back_up)
        self.change_source()
        self._step("incremental backup", self._back_up)
        self._step("quick validation", lambda backend: self._validate(backend, "quick"))
        self._step("validation of all data", lambda backend: self._validate(backend, "data"))
        self._step("restore", self._restore)
        return self.steps

    def _step(self, name: str, work: Callable[[WebDAVBackend], int]) -> None:
        server = self.server
        refused, methods, waited = server.refused, server.methods.copy(), sum(self.clock.slept)
        begun = self._real.monotonic()
        backend = WebDAVBackend(
            f"{ORIGIN}/dav/backups/repo/",
            username=server.username,
            password=server.password,
            options=BackendOptions(service_type="nutstore"),
            clock=self.clock,
            transport=httpx.MockTransport(server),
        )
        packs = work(backend)
        backend.close()
        cost = dict(server.methods - methods)
        self.steps.append(
            Step(
                name,
                sum(cost.values()),
                cost,
                server.refused - refused,
                packs,
                sum(self.clock.slept) - waited,
                self._real.monotonic() - begun,
            )
        )
        # Another process comes the next day; within one, the account's ledger would know what was sent.
        self.clock.advance(24 * 3600)

    def _create(self, backend: WebDAVBackend) -> int:
        vacancy = Repository.prove_vacant(backend)
        Repository.create(
            backend, _PASSWORD, clock=self.clock, random_bytes=os.urandom, options=self._options, vacancy=vacancy
        ).close()
        return 0

    def _open(self, backend: WebDAVBackend) -> Repository:
        return Repository.open(backend, _PASSWORD, clock=self.clock, random_bytes=os.urandom, options=self._options)

    def _back_up(self, backend: WebDAVBackend) -> int:
        options = BackupOptions(
            sources=(str(self.source),),
            kind="incremental",
            hostname="host",
            username="user",
            tags=("config:nutstore",),
            backup_id=f"nutstore_{len(self.steps)}",
            workers=2,
        )
        with self._open(backend) as repository:
            done: BackupSummary = run_backup(
                repository, options, clock=self.clock, progress=self._progress(), cancel=CancelToken()
            )
        assert done.outcome is Outcome.COMPLETED, done.problems
        return done.packs

    def _validate(self, backend: WebDAVBackend, depth: Literal["quick", "data"]) -> int:
        with self._open(backend) as repository:
            found = validate(
                repository,
                repository.snapshots(),
                depth=depth,
                clock=self.clock,
                progress=self._progress(),
                cancel=CancelToken(),
            )
        assert found
        assert all(summary.is_valid for summary in found.values()), found
        return 0

    def _restore(self, backend: WebDAVBackend) -> int:
        target = self._folder / "restored"
        with self._open(backend) as repository:
            newest = repository.snapshots()[-1]
            repository.load_index()
            plan = plan_restore(repository, newest, target, cancel=CancelToken(), progress=self._progress())
            done = run_restore(repository, plan, clock=self.clock, progress=self._progress(), cancel=CancelToken())
        assert done.outcome is Outcome.COMPLETED, done.problems
        for path in self.source.rglob("*"):
            restored = target / self.source.name / path.relative_to(self.source)
            assert not path.is_file() or restored.read_bytes() == path.read_bytes(), path
        return 0

    def _progress(self) -> ProgressTracker:
        return ProgressTracker(no_progress, clock=self.clock)
