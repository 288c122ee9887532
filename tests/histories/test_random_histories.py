"""Months of use at random, against a model that a child can check: names and contents of every backup.

Two machines use one repository: they change files, back up, forget, prune, restore, are cut off anywhere. Hypothesis
looks for a history after which a backup is not what the model says, and shrinks it to a short script. The set of
histories is always the same in ``make test``; ``DAVAULT_HISTORIES=2000`` tries so many new ones.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.verify import validate
from backup_core.errors import BackupError, ConnectionLost, Corrupt, IndexIncomplete, LockHeld
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary, RestoreSummary
from backup_core.storage.backend import Backend, Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.faults import Fault, FaultyBackend, Moment, PowerCut
from backup_core.testing.tally import Tally
from backup_core.types import Secret, SnapshotId

LONG = int(os.environ.get("DAVAULT_HISTORIES", "0"))
NAMES = ("notes.txt", "a/合同.pdf", "a/b/deep", "a/b/shared", "图片/1.jpg", "z")
SIZES = (0, 7, 900, 4_000, 20_000)
HOUR = 3600.0
TALLY = Tally()
LEFTOVERS = {"damaged-index", "damaged-snapshot"}
"""Kinds of problems that a crash may leave until somebody clears up: halves of files, which this server keeps."""
Files = dict[str, bytes]
Done = TypeVar("Done")

machines = st.sampled_from(("desk", "laptop"))
faults = st.builds(
    Fault,
    at=st.integers(0, 12),
    moment=st.sampled_from(Moment),
    error=st.sampled_from((PowerCut, lambda: ConnectionLost("the network is gone"))),
    stays_down=st.booleans(),
    verbs=st.sampled_from((frozenset({"put", "delete"}), frozenset({"put", "delete", "get", "list", "stat"}))),
)


class Forgetful(MemoryBackend):
    """Says yes to one write, and loses it."""

    loses: int | None = None

    def put(self, name: str, data: Any) -> None:
        super().put(name, data)
        if self.loses is not None:
            self.loses -= 1
            if self.loses < 0:
                self.loses = None
                del self.objects[name]


class History(RuleBasedStateMachine):
    """What happens to one repository, and what ought to be in it.

    Which rule comes next never depends on what happened: ids and threads differ from one run of a script to the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="davault-history-"))
        self.clock = ManualClock()
        self.server = Forgetful(promises=Promises(atomic_put=False))
        self.kept: dict[SnapshotId, Files] = {}
        self.files: dict[str, Files] = {"desk": {}, "laptop": {}}
        self.runs = 0
        self.ticks = self.steps = self.faults = 0
        Repository.create(self.server, Secret("pw"), **self._how("desk")).close()

    @initialize(seed=st.integers(0, 99))
    def begin(self, seed: int) -> None:
        for machine in self.files:
            for number, name in enumerate(NAMES[:4]):
                self.write(machine, name, 4_000, seed + number)

    # What happens.

    @rule(machine=machines, name=st.sampled_from(NAMES), size=st.sampled_from(SIZES), seed=st.integers(0, 5))
    def write(self, machine: str, name: str, size: int, seed: int) -> None:
        path = self._source(machine) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = random.Random(seed).randbytes(size)
        path.write_bytes(content)
        self.ticks += 1
        os.utime(path, ns=(self.ticks * 10**9, self.ticks * 10**9))  # the disk's clock is too coarse for fast tests
        self.files[machine][name] = content

    @rule(machine=machines, which=st.integers(0, 9))
    def remove(self, machine: str, which: int) -> None:
        names = sorted(self.files[machine])
        if len(names) > 1:
            name = names[which % len(names)]
            (self._source(machine) / name).unlink()
            del self.files[machine][name]

    @rule(machine=machines, kind=st.sampled_from(("full", "incremental")))
    def back_up(self, machine: str, kind: str) -> None:
        done = self._alone(machine, lambda repository: self._run_backup(repository, machine, kind))
        assert {problem.kind for problem in done.problems} <= LEFTOVERS, done.problems
        self.kept[done.snapshot_id] = dict(self.files[machine])

    @rule(machine=machines, kind=st.sampled_from(("full", "incremental")), fault=faults)
    def back_up_and_fail(self, machine: str, kind: str, fault: Fault) -> None:
        self._cut_off(machine, fault, lambda repository: self._run_backup(repository, machine, kind))
        self._take_in_what_came(machine)

    @rule(machine=machines, loses=st.integers(0, 6))
    def back_up_to_a_server_that_loses_a_write(self, machine: str, loses: int) -> None:
        self.server.loses = loses
        with suppress(BackupError), self._open(machine) as repository:
            done = self._run_backup(repository, machine, "incremental")
            assert done.snapshot_id in self._present(), "what is reported as done is there"
        self.server.loses = None
        self._take_in_what_came(machine)

    @rule(machine=machines, which=st.sets(st.integers(0, 5), min_size=1, max_size=3))
    def forget(self, machine: str, which: set[int]) -> None:
        going = self._chosen(which)
        if not going:
            return
        self._alone(machine, lambda repository: self._forget(repository, going))
        for snapshot in going:
            del self.kept[snapshot]

    @rule(machine=machines, which=st.sets(st.integers(0, 5), min_size=1, max_size=3), fault=faults)
    def forget_and_fail(self, machine: str, which: set[int], fault: Fault) -> None:
        going = self._chosen(which)
        self._cut_off(machine, fault, lambda repository: self._forget(repository, going))
        present = self._present()
        assert self.kept.keys() - present <= set(going)
        self.kept = {snapshot: files for snapshot, files in self.kept.items() if snapshot in present}

    @rule(machine=machines, unused=st.sampled_from((0.0, 0.05, 1.0)))
    def prune(self, machine: str, unused: float) -> None:
        if self.kept:
            self._alone(machine, lambda repository: prune(repository, PruneBounds(max_unused_share=unused)))

    @rule(machine=machines, fault=faults)
    def prune_and_fail(self, machine: str, fault: Fault) -> None:
        self._cut_off(machine, fault, lambda repository: prune(repository, PruneBounds(max_unused_share=0)))

    @rule(hours=st.sampled_from((-3.0, 0.01, 1.0, 30.0, 700.0)))
    def pass_time(self, hours: float) -> None:
        self.clock.set(self.clock.now() + timedelta(hours=hours))

    @rule(machine=machines, which=st.integers(0, 9))
    def restore(self, machine: str, which: int) -> None:
        if not self.kept:
            return
        snapshot = list(self.kept)[which % len(self.kept)]
        target = self.top / "out"
        shutil.rmtree(target, ignore_errors=True)
        how: dict[str, Any] = {"cancel": CancelToken(), "progress": ProgressTracker(no_progress, clock=self.clock)}

        def act(repository: Repository) -> RestoreSummary:
            plan = plan_restore(repository, repository.load_snapshot(snapshot), target, **how)
            return run_restore(repository, plan, clock=self.clock, **how)

        done = self._alone(machine, act)
        assert {problem.kind for problem in done.problems} <= LEFTOVERS, done.problems
        found = {p.relative_to(target / "source").as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
        assert found == self.kept[snapshot]

    @rule(machine=machines)
    def lose_the_cache(self, machine: str) -> None:
        shutil.rmtree(self.top / f"cache-{machine}", ignore_errors=True)

    # What must be so in the end, whatever happened.

    def teardown(self) -> None:
        try:
            self._judge()
            TALLY.add(histories=1, steps=self.steps, faults=self.faults, backups=self.runs)
            TALLY.write("random histories")
        finally:
            shutil.rmtree(self.top)

    def _judge(self) -> None:
        how: dict[str, Any] = {"cancel": CancelToken(), "progress": ProgressTracker(no_progress, clock=self.clock)}
        self._remove_halves()
        with self._open("stranger") as repository:
            snapshots = repository.snapshots()
            assert {snapshot.id for snapshot in snapshots} == self.kept.keys()
            found = validate(repository, snapshots, depth="data", clock=self.clock, **how)
            assert not [problem for summary in found.values() for problem in summary.problems if not summary.is_valid]
            for snapshot in snapshots:
                plan = plan_restore(repository, snapshot, self.top / "end" / snapshot.id, **how)
                assert run_restore(repository, plan, clock=self.clock, **how).failed == {}
        for snapshot_id, files in self.kept.items():
            top = self.top / "end" / snapshot_id / "source"
            assert {p.relative_to(top).as_posix(): p.read_bytes() for p in top.rglob("*") if p.is_file()} == files

    # How it is done.

    def _how(self, machine: str) -> dict[str, Any]:
        options = RepositoryOptions(
            pack_size=16_000, cache_directory=self.top / f"cache-{machine}", hostname=machine, upload_threads=1
        )
        return {"clock": self.clock, "random_bytes": os.urandom, "options": options}

    def _open(self, machine: str, backend: Backend | None = None) -> Repository:
        return Repository.open(backend or self.server, Secret("pw"), **self._how(machine))

    def _source(self, machine: str) -> Path:
        return self.top / machine / "source"

    def _present(self) -> set[SnapshotId]:
        with self._open("stranger") as repository:
            return {snapshot.id for snapshot in repository.snapshots(problems=[])}

    def _chosen(self, which: set[int]) -> list[SnapshotId]:
        """Never all of them."""
        ids = list(self.kept)
        return sorted({ids[number % len(ids)] for number in which})[: len(ids) - 1] if ids else []

    def _run_backup(self, repository: Repository, machine: str, kind: Any) -> BackupSummary:
        self.runs += 1
        self.clock.advance(1)
        options = BackupOptions(
            sources=(str(self._source(machine)),), kind=kind, hostname=machine, username="u",
            backup_id=f"{machine}_{self.runs}", tags=(f"config:{machine}",), workers=1, start_method="thread",
        )  # fmt: skip
        progress = ProgressTracker(no_progress, clock=self.clock)
        return run_backup(repository, options, clock=self.clock, progress=progress, cancel=CancelToken())

    @staticmethod
    def _forget(repository: Repository, going: list[SnapshotId]) -> None:
        with repository.lock(exclusive=True):
            for snapshot in going:
                repository.remove_snapshot(snapshot)

    def _alone(self, machine: str, act: Callable[[Repository], Done]) -> Done:
        """Do what needs a lock; what stands in the way after a crash is cleared up as the message advises."""
        with self._open(machine) as repository:
            try:
                return act(repository)
            except LockHeld:
                self.clock.advance(5 * HOUR)
                # Half a lock, and one of the future, where clocks were turned back, only a person can judge.
                assert repository.unlock() or repository.unlock(remove_all=True)
                return self._once_more(repository, act)
            except (Corrupt, IndexIncomplete):
                return self._once_more(repository, act)

    def _once_more(self, repository: Repository, act: Callable[[Repository], Done]) -> Done:
        try:
            return act(repository)
        except (Corrupt, IndexIncomplete):
            assert self._remove_halves()
            return act(repository)

    def _remove_halves(self) -> list[str]:
        """What a person does about files that a crash left half written: those of no use to any backup."""
        objects = self.server.objects
        halves = [name for name, box in objects.items() if "/" in name and sha256(box).hexdigest() != Path(name).name]
        for name in halves:
            del objects[name]
        return halves

    @invariant()
    def count(self) -> None:
        self.steps += 1

    def _cut_off(self, machine: str, fault: Fault, act: Callable[[Repository], object]) -> None:
        self.faults += 1
        repository = None
        try:
            repository = self._open(machine, FaultyBackend(self.server, fault))
            act(repository)
        except (PowerCut, BackupError):
            pass
        finally:
            if repository is not None:
                repository._journal._drop_file(keep=True)  # the process is dead, and its lock on the journal gone

    def _take_in_what_came(self, machine: str) -> None:
        """A backup that failed may have come into being all the same, as when only the last answer was lost."""
        came = self._present() - self.kept.keys()
        assert len(came) <= 1
        assert self.kept.keys() <= self._present()
        for snapshot in came:
            self.kept[snapshot] = dict(self.files[machine])


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut off here is the server; the restored files are read back at once."""
    monkeypatch.setattr("backup_core.engine.restore_run.flush_to_disk", lambda descriptor: None)


if LONG:
    chosen = settings(max_examples=LONG, stateful_step_count=60, deadline=None, print_blob=True)
else:
    chosen = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
TestRandomHistories = pytest.mark.slow(History.TestCase)
TestRandomHistories.settings = settings(chosen, suppress_health_check=list(HealthCheck))
