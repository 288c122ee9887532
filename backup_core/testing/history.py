"""A past made up for reports: what a catalogue would hold after months of daily work, without doing the work.

The numbers follow simple laws (a source that grows, changes every day, compresses by a constant, is kept for thirty
days and pruned once a month) with chance from a seed: the same seed and clock make the same past.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import RecoveryRunRow
from backup_core.catalogue.reading_rows import SpaceReadingRow, StorageReadingRow
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.deferred import dataclass
from backup_core.testing.clocks import ManualClock

_MIB = 1024**2
_GIB = 1024**3
_DAY = 86_400.0
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Habit:
    """How one configuration's source behaves."""

    name: str
    size: int
    """Logical bytes on the first day."""
    growth: float
    """Part of itself that is added a day."""
    churn: float
    """Part of itself that is rewritten a day."""
    compression: float
    """Stored bytes per byte of new content."""
    file_size: int
    """Bytes of a typical file."""
    failures: float
    """How often a run fails, 0 to 1."""
    client: str = "cloud"


HABITS = (
    Habit("重要文档", 3 * _GIB, 0.002, 0.004, 0.45, 300_000, 0.01),
    Habit("photos", 40 * _GIB, 0.004, 0.0002, 0.98, 4 * _MIB, 0.03),
    Habit("database", 6 * _GIB, 0.001, 0.06, 0.30, 64 * _MIB, 0.02, client="office-nas"),
)
"""Documents, a photo collection that only grows, and a database that changes a lot."""


@dataclass(slots=True)
class _State:
    habit: Habit
    size: float
    stored: float = 0.0
    rubbish: float = 0.0
    """Stored bytes that only forgotten backups needed."""
    kept: list[KnownBackup] = field(default_factory=list)


def make_past(
    catalogue: Catalogue,
    clock: ManualClock,
    *,
    days: int = 365,
    habits: Sequence[Habit] = HABITS,
    keep: int = 30,
    quota: int = 400 * _GIB,
    seed: int = 1,
) -> None:
    """Fill ``catalogue`` with ``days`` days of work; at their end the clock stands at the last evening."""
    chance = random.Random(seed)
    states = [_State(habit, float(habit.size)) for habit in habits]
    _set_up(catalogue, habits, clock.now())
    for day in range(days):
        morning = clock.now()
        for number, state in enumerate(states):
            clock.set(morning + timedelta(minutes=20 * number))
            _one_day(catalogue, clock, state, chance, full=day % _WEEK == 0, keep=keep, prune=day % 30 == 29)
            if day % _WEEK == _WEEK - 1:
                _validate(catalogue, clock.now(), state, chance)
        _measure_space(catalogue, clock.now(), states, quota)
        if day % 30 == 14:
            _drill(catalogue, clock.now(), states, chance, number=day // 30)
        clock.set(morning)
        clock.advance(_DAY)


def _set_up(catalogue: Catalogue, habits: Sequence[Habit], now: datetime) -> None:
    for name in sorted({habit.client for habit in habits}):
        client = ClientConfig(name=name, url=f"https://{name}.example.org/dav/", username="me")
        catalogue.setups.save_client(name, client.record(), now)
    for habit in habits:
        config = BackupConfig(
            name=habit.name,
            source_paths=[f"/srv/{habit.name}"],
            target_client_id=habit.client,
            target_path=f"/{habit.name}",
            schedule_time="02:00",
        )
        catalogue.setups.save_configuration(
            habit.name, config.record(), now, client=habit.client, target_path=config.target_path
        )
        catalogue.setups.set(
            f"repository-of:{habit.name}",
            {
                "id": _repository_id(habit),
                "place": f"{habit.client}\0{config.target_path}",
                "seen": now.isoformat(),
            },
        )


def _repository_id(habit: Habit) -> str:
    return habit.name.encode().hex()[:64].rjust(64, "0")


def _one_day(
    catalogue: Catalogue,
    clock: ManualClock,
    state: _State,
    chance: random.Random,
    *,
    full: bool,
    keep: int,
    prune: bool,
) -> None:
    habit = state.habit
    started = clock.now()
    state.size *= 1 + habit.growth * chance.uniform(0.5, 1.5)
    changed = state.size * (habit.growth + habit.churn) * chance.uniform(0.3, 1.7) if state.kept else state.size
    seconds = 20 + state.size / (2 * _GIB) + changed / (8 * _MIB) + (state.size / (200 * _MIB) if full else 0)
    packs = round(changed * habit.compression / (16 * _MIB))
    requests = {"PROPFIND": 4, "GET": 3 + chance.randrange(3), "PUT": 3 + packs}
    if chance.random() < habit.failures:
        clock.advance(seconds / 2)
        _failed(catalogue, started, clock.now(), habit, requests)
        return
    clock.advance(seconds)
    added = changed * habit.compression
    state.stored += added
    state.rubbish += added * habit.churn / (habit.growth + habit.churn) * 0.8 if state.kept else 0.0
    row = _manifest(state, started, added, changed, full=full)
    catalogue.manifests.add(row)
    state.kept.append(row)
    files = round(state.size / habit.file_size)
    catalogue.history.end_run(
        catalogue.history.begin_run(_run_row(habit, started, row)),
        ended_at=clock.now(),
        outcome="completed" if chance.random() > 0.02 else "completed with problems",
        figures={
            "files": files,
            "files_new": max(1, round(changed / habit.file_size)),
            "files_changed": round(files * habit.churn),
            "total_size": row.total_size,
            "data_added": row.data_added,
            "stored_size": row.stored_size,
            "seconds": seconds,
            "problems": 0,
        },
        requests=requests,
    )
    _forget(catalogue, state, keep)
    if prune:
        state.stored -= state.rubbish
        state.rubbish = 0.0
    catalogue.readings.add_storage([_reading(state, clock.now())])
    catalogue.setups.set(f"stored-size-of:{_repository_id(habit)}", round(state.stored))


def _run_row(habit: Habit, started: datetime, row: KnownBackup) -> RunRow:
    return RunRow(
        kind="backup",
        configuration=habit.name,
        backup_type=row.backup_type,
        backup_id=row.backup_id,
        snapshot_id=row.snapshot_id,
        started_at=started,
        hostname="example",
    )


def _failed(catalogue: Catalogue, started: datetime, ended: datetime, habit: Habit, requests: dict[str, int]) -> None:
    number = catalogue.history.begin_run(
        RunRow(kind="backup", configuration=habit.name, backup_type="incremental", started_at=started)
    )
    error = f"the backup of {habit.name!r} failed: the server closed the connection"
    catalogue.history.end_run(number, ended_at=ended, outcome="failed", error=error, requests=requests)


def _manifest(state: _State, at: datetime, added: float, changed: float, *, full: bool) -> KnownBackup:
    number = f"{state.habit.name} {at.isoformat()}".encode().hex()
    return KnownBackup(
        snapshot_id=number[-64:].rjust(64, "0"),
        repository_id=_repository_id(state.habit),
        backup_id=f"{state.habit.name}_{at:%Y%m%d_%H%M%S}",
        configuration=state.habit.name,
        backup_type="full" if full else "incremental",
        created_at=at,
        files=round(state.size / state.habit.file_size),
        total_size=round(state.size),
        data_added=round(changed),
        stored_size=round(added),
        hostname="example",
        paths=[f"/srv/{state.habit.name}"],
    )


def _forget(catalogue: Catalogue, state: _State, keep: int) -> None:
    surplus, state.kept = state.kept[:-keep], state.kept[-keep:]
    if surplus:
        catalogue.manifests.remove([row.snapshot_id for row in surplus])


def _reading(state: _State, at: datetime) -> StorageReadingRow:
    return StorageReadingRow(
        at=at,
        configuration=state.habit.name,
        repository_id=state.kept[-1].repository_id,
        stored_bytes=round(state.stored),
        kept_bytes=sum(row.total_size for row in state.kept),
        newest_bytes=state.kept[-1].total_size,
        backups=len(state.kept),
    )


def _measure_space(catalogue: Catalogue, at: datetime, states: Sequence[_State], quota: int) -> None:
    for client, used in _by_client(states):
        catalogue.readings.add_space(SpaceReadingRow(at=at, client=client, used=used, available=max(0, quota - used)))


def _by_client(states: Sequence[_State]) -> Iterator[tuple[str, int]]:
    for client in sorted({state.habit.client for state in states}):
        yield client, round(sum(state.stored for state in states if state.habit.client == client))


def _validate(catalogue: Catalogue, at: datetime, state: _State, chance: random.Random) -> None:
    if not state.kept:
        return
    newest = state.kept[-1]
    good = chance.random() > 0.005
    catalogue.history.add_validation(
        ValidationRow(
            backup_id=newest.backup_id,
            snapshot_id=newest.snapshot_id,
            configuration=newest.configuration,
            depth="data",
            started_at=at,
            seconds=state.stored / _WEEK / (30 * _MIB),
            is_valid=good,
            files_checked=newest.files,
            files_passed=newest.files - (0 if good else 3),
            bytes_read=round(state.stored / _WEEK),
            errors=[] if good else ["three files refer to a pack that is damaged"],
        )
    )


def _drill(catalogue: Catalogue, at: datetime, states: Sequence[_State], chance: random.Random, *, number: int) -> None:
    size = sum(state.size for state in states)
    rto = size / (25 * _MIB) * chance.uniform(0.9, 1.3)
    catalogue.recoveries.begin(
        RecoveryRunRow(
            run_id=f"drill-{number:03}",
            plan_id="plan",
            plan_name="主站灾难恢复",
            kind="drill",
            state="completed",
            started_at=at,
            ended_at=at + timedelta(seconds=rto),
            rto_target=4 * 3600.0,
            rpo_target=_DAY,
            rto=rto,
            rpo=chance.uniform(0.2, 0.9) * _DAY,
        ),
        [],
    )
