"""What is due when, how a whole is divided, how well a source compresses, and which backup ids are new."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.models import BackupConfig
from backup_core.progress import CancelToken
from backup_core.services.application import Application
from backup_core.services.moments import to_aware, to_local
from backup_core.services.scheduler import Scheduler, is_due, last_due
from backup_core.services.snapshot_facts import new_backup_id
from backup_core.services.storage_shares import divided

NOON = datetime(2026, 11, 23, 12, 0)
LONG_AGO = NOON - timedelta(days=100)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))
TIMES = st.times().map(lambda t: f"{t:%H:%M}")


@given(TIMES, MOMENTS)
def test_the_last_due_moment_is_the_newest_past_one(schedule: str, now: datetime) -> None:
    due = last_due(schedule, now)
    assert due <= now < due + timedelta(days=1)
    assert f"{due:%H:%M}" == schedule


@pytest.mark.parametrize(
    ("started", "due"),
    [
        (None, True),
        (NOON - timedelta(days=1), True),
        (NOON - timedelta(hours=10), False),  # at two, on time
        (NOON - timedelta(days=30), True),  # asleep for a month: once
        (NOON + timedelta(days=1), False),  # the clock was set back
    ],
)
def test_a_missed_run_is_made_up_for_once(started: datetime | None, due: bool) -> None:
    assert is_due("02:00", now=NOON, known_since=LONG_AGO, last_start=started) is due


def test_a_new_configuration_waits_for_its_hour() -> None:
    assert not is_due("02:00", now=NOON, known_since=NOON - timedelta(hours=1), last_start=None)
    assert not is_due(None, now=NOON, known_since=LONG_AGO, last_start=None)


def test_a_failing_job_does_not_stop_the_others(app: Application, configured, monkeypatch) -> None:
    for name in ("一", "二", "三"):
        configured(name, schedule_time="02:00")
    configured("四")
    done: list[str] = []

    def run(config: BackupConfig, kind: str, _: CancelToken) -> None:
        assert kind in ("full", "incremental")
        done.append(config.name)
        if config.name == "一":
            raise ZeroDivisionError

    scheduler = Scheduler(app.manager.backup_service, run)
    assert scheduler.run_due(CancelToken()) == []
    monkeypatch.setattr("backup_core.services.scheduler.is_due", lambda time, **_: time is not None)
    assert sorted(scheduler.run_due(CancelToken())) == sorted(done) == ["一", "三", "二"]
    stopped = CancelToken()
    stopped.cancel()
    assert scheduler.run_due(stopped) == []


def test_the_scheduler_makes_backups(app: Application, configured, monkeypatch) -> None:
    configured(schedule_time="02:00")
    calls = iter([True, False])
    monkeypatch.setattr("backup_core.services.scheduler.is_due", lambda *_, **__: next(calls, False))
    app.manager._scheduler.run_due(CancelToken())
    assert len(app.backups("文档")) == 1


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=9))
def test_a_whole_is_divided_to_the_byte(whole: int, shares: list[int]) -> None:
    parts = divided(whole, dict(enumerate(shares)))
    assert sum(parts.values()) == (whole if any(shares) else 0)
    assert all(part >= 0 for part in parts.values())


def test_ids_of_the_same_second_do_not_collide() -> None:
    taken: list[str] = []
    for _ in range(4):
        taken.append(new_backup_id("重要文档", NOON, taken))
    base = "重要文档_20261123_120000"
    assert taken == [base, f"{base}_2", f"{base}_3", f"{base}_4"]


@given(MOMENTS)
def test_moments_there_and_back(moment: datetime) -> None:
    assert to_local(to_aware(moment)) == moment
