"""The whole program, dead at every step of every job: each write to the server, each commit, each local file.

After each death an ordinary run, which dies as well, and then one that is left alone: backup, cleanup, pruning. Every
backup that was there before is restored and compared; the new one is whole or absent. A few points of each job in
``make test``; ``DAVAULT_DEATHS=all`` sweeps them all, ``DAVAULT_DEATHS=200`` so many of each job.

A point has to be cheap for that (a second of one processor). Processes are forked from one that has everything
imported, the world before is copied and not made again, nobody waits for a lock to become
visible or for a disk, and what must be there is restored in this process with the repository opened once.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup_core.catalogue.sqlite_file import SQLiteFile
from backup_core.catalogue.statements import Statements
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.errors import LockHeld
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.repository import Repository
from backup_core.services.application import Application, open_application
from backup_core.services.retention.policy import KeepRules
from backup_core.services.retention.pruning import PruneLimits
from backup_core.testing.clocks import BusyClock
from backup_core.testing.mortality import DIED, REFUSED, Ended, Point, die_while, points
from backup_core.testing.tally import Tally
from backup_core.types import SnapshotId

WANTED = os.environ.get("DAVAULT_DEATHS", "2")
CHECK_EVERY = 20
"""Points after which restic looks at the repository as well, and a restore runs as users start it."""
KEY = "a key that nobody guesses"
NAME = "docs"
Files = dict[str, bytes]
Act = Callable[[Application], object]


def files_of(top: Path) -> Files:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def write_source(top: Path, seed: int) -> None:
    """A small tree; each seed changes a part of the files."""
    top.mkdir(exist_ok=True)
    for number in range(8):
        if number % 3 == seed % 3 or seed == 0:
            path = top / f"folder {number % 2}" / f"文件 {number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(random.Random(100 * seed + number).randbytes(3000 + 500 * number))


@dataclass
class World:
    """A home, two servers and a source below one directory, which can be put back to how it was."""

    top: Path
    expected: dict[str, Files] = field(default_factory=dict)
    """Backup id -> what is in it."""

    @property
    def now(self) -> Path:
        return self.top / "now"

    def do(self, act: Act) -> Any:
        with open_application(self.now / "home", clock=BusyClock()) as app:
            return act(app)

    def back_up(self, seed: int, kind: Any = "incremental") -> str:
        write_source(self.now / "source", seed)
        summary = self.do(lambda app: app.backup(NAME, kind=kind))
        self.expected[summary.backup_id] = files_of(self.now / "source")
        return str(summary.backup_id)

    def remember(self) -> None:
        shutil.rmtree(self.top / "before", ignore_errors=True)
        shutil.copytree(self.now, self.top / "before", symlinks=True)

    def put_back(self) -> None:
        shutil.rmtree(self.now)
        shutil.copytree(self.top / "before", self.now, symlinks=True)


def _before_commits(call: Callable[[], object]) -> None:
    honest = SQLiteFile.writing

    @contextmanager
    def writing(file: SQLiteFile) -> Iterator[Statements]:
        with honest(file) as statements:
            yield statements
            call()

    SQLiteFile.writing = writing  # type: ignore[method-assign]  # for as long as the process lives


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("THE_KEY", KEY)
    # No waiting for the disk: processes are killed here, not machines.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("backup_core.engine.restore_run.flush_to_disk", lambda descriptor: None)
    made = World(tmp_path)
    made.now.mkdir()
    write_source(made.now / "source", 0)

    def set_up(app: Application) -> None:
        for name in ("first", "second"):
            app.add_client(ClientConfig(name=name, url=str(made.now / name)))
        app.add_config(
            BackupConfig(
                name=NAME, source_paths=[str(made.now / "source")], target_client_id="first", target_path="/r",
                encrypt_key="env:THE_KEY", workers=1,
            )
        )  # fmt: skip

    made.do(set_up)
    return made


def _cleanup(app: Application) -> object:
    return app.retention.cleanup(NAME, KeepRules(last=2), prune=PruneLimits(max_unused="0"))


def _damage(world: World) -> None:
    """Lose the newest pack of content, which the newest backup alone needs."""
    packs = [path for path in (world.now / "first" / "r").glob("data/*/*") if path.stat().st_size > 5000]
    max(packs, key=lambda path: path.stat().st_mtime_ns).unlink()


@dataclass(frozen=True)
class Job:
    """What is being done when death comes."""

    act: Act
    backups: int
    """Made before."""
    stays: int | None = None
    """How many of them, the newest ones, must be there afterwards; None: all."""
    prepare: Callable[[World], object] = lambda _: None
    makes: bool = False
    """Whether it makes a backup."""
    spoils: bool = False
    """Whether the newest backup was damaged before."""


JOBS = {
    "init": Job(lambda app: app.init_repository(NAME), 0),
    "full": Job(lambda app: app.backup(NAME, kind="full"), 0, makes=True),
    "incremental": Job(
        lambda app: app.backup(NAME, kind="incremental"), 2, makes=True,
        prepare=lambda world: write_source(world.now / "source", 5),
    ),
    "cleanup": Job(_cleanup, 4, stays=2),
    "change of key": Job(lambda app: app.upkeep.keys.change(NAME), 1),
    "rotation": Job(lambda app: app.upkeep.keys.rotate(NAME, path="/new", client="second"), 2),
    "mirror": Job(lambda app: app.mirroring.run(NAME, to="second", path="/copy"), 2),
    "repair": Job(lambda app: app.upkeep.repairs.snapshots(NAME, forget=True), 3, prepare=_damage, spoils=True),
}  # fmt: skip


def _patiently(app: Application, act: Act) -> object:
    """Do it; what a dead process left in the way is removed as the message advises."""
    try:
        return act(app)
    except LockHeld:
        assert app.unlock(NAME) or app.unlock(NAME, remove_all=True)
        return act(app)


def _recover(home: Path, job: Job) -> None:
    """What the next night does, or whoever repaired something and was interrupted."""
    with open_application(home, clock=BusyClock()) as app:
        if job.spoils:
            _patiently(app, job.act)
        _patiently(app, lambda app: app.backup(NAME, kind="full"))
        _patiently(app, lambda app: app.retention.cleanup(NAME, KeepRules(last=9), prune=PruneLimits(max_unused="0")))


def _chosen(steps: tuple[str, ...], job: str) -> list[Point]:
    everything = list(points(steps))
    if WANTED == "all" or int(WANTED) >= len(everything):
        return everything
    return sorted(random.Random(job).sample(everything, int(WANTED)), key=lambda point: (point.at, point.how))


@pytest.mark.slow
@pytest.mark.restic
@pytest.mark.parametrize("name", JOBS)
def test_death_at_any_step_loses_nothing(world: World, name: str, restic_new: Any, tmp_path: Path) -> None:
    job = JOBS[name]
    home = world.now / "home"
    for number in range(job.backups):
        world.back_up(number)
    job.prepare(world)
    world.remember()
    # Once in this process, so that the forked ones find everything imported; then the run that counts.
    world.do(job.act)
    _recover(home, job)
    world.put_back()

    def work() -> None:
        with open_application(home, clock=BusyClock()) as app:
            job.act(app)

    clean = die_while(work, home=home, commits=_before_commits)
    assert clean.code == 0, clean.said
    tally = Tally()
    chance = random.Random(f"second death of {name}")
    for number, point in enumerate(_chosen(clean.steps, name)):
        world.put_back()
        ended = die_while(work, home=home, commits=_before_commits, point=point)
        context = f"{name}, {point}, {clean.steps[point.at]}: {ended.said}"
        assert ended.code in (0, DIED, REFUSED), context
        tally.add(deaths=ended.code == DIED, deceptions=point.how in ("unheard", "lost"))
        # An ordinary run, which dies as well, anywhere; then one that is left alone.
        again = Point(chance.randrange(60), chance.choice(("before", "halfway", "after")))
        second = die_while(lambda: _recover(home, job), home=home, commits=_before_commits, point=again)
        assert second.code in (0, DIED), f"{context}; then {again}: {second.said}"
        tally.add(deaths=second.code == DIED)
        last = die_while(lambda: _recover(home, job), home=home, commits=_before_commits)
        assert last.code == 0, f"{context}; then {again}; then {last.said}"
        _judge(world, job, ended, context, tmp_path / "out")
        if number % CHECK_EVERY == 0:
            _judge_as_others_do(world, restic_new, tmp_path / "out")
        tally.add(points=1)
    tally.write(f"death in {name}", possible=len(list(points(clean.steps))))


def _restored(repository: Repository, snapshot: SnapshotId, out: Path) -> Files:
    """What a restore by this process gives: the ledger of restores in the catalogue is no matter here."""
    shutil.rmtree(out, ignore_errors=True)
    clock = BusyClock()
    how: dict[str, Any] = {"cancel": CancelToken(), "progress": ProgressTracker(no_progress, clock=clock)}
    plan = plan_restore(repository, repository.load_snapshot(snapshot), out, **how)
    run_restore(repository, plan, clock=clock, **how)
    return files_of(out / "source")


def _judge(world: World, job: Job, ended: Ended, context: str, out: Path) -> None:
    """Everything that must be there is there as it was; what else there is, is whole."""
    present = files_of(world.now / "source")
    must = list(world.expected)[-job.stays :] if job.stays else list(world.expected)
    spoiled = set(must[-1:]) if job.spoils else set()
    listed: list[str] = []
    with open_application(world.now / "home", clock=BusyClock()) as app:
        backups = app.backups(NAME, refresh=True)
        with app._services.backup.opened(NAME) as opened:
            for backup in backups:
                listed.append(backup.backup_id)
                if backup.backup_id in spoiled:
                    continue
                restored = _restored(opened.repository, backup.snapshot_id, out)
                assert restored == world.expected.get(backup.backup_id, present), f"{backup.backup_id}: {context}"
    assert set(must) - spoiled <= set(listed), context
    if job.makes and ended.code == 0:
        # It said that it was done; the backups of the two recoveries come on top.
        assert len(listed) >= job.backups + 2, context


def _judge_as_others_do(world: World, restic: Any, out: Path) -> None:
    """By restic, with the key and the place that the configuration has by now; and by a restore as users have it."""
    with open_application(world.now / "home", clock=BusyClock()) as app:
        config = app.get_config(NAME)
        key = app._services.backup.keys.candidates(config)[0]
        shutil.rmtree(out, ignore_errors=True)
        app.restore(NAME, target=out)
        assert files_of(out / "source") == files_of(world.now / "source")
    restic.check(world.now / config.target_client_id / config.target_path.strip("/"), key.secret.reveal())
