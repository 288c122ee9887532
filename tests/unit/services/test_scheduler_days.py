"""Days of a schedule with a clock that is moved: when runs happen, and that each happens once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.rhythm import cron_days, kind_on
from backup_core.errors import LockHeld
from backup_core.progress import CancelToken
from backup_core.services.application import Application, open_application
from backup_core.testing.clocks import ManualClock

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Machine:
    """An application whose scheduler looks at what is due whenever the clock is moved."""

    def __init__(self, app: Application, clock: ManualClock, source: Path) -> None:
        self.app, self.clock, self.source = app, clock, source

    def at(self, *moment: int) -> list[str]:
        """It is this local time now; what the scheduler runs."""
        self.clock.set(datetime(*moment, tzinfo=BERLIN))  # type: ignore[misc]
        return self.app.manager._scheduler.run_due(CancelToken())

    def add(self, name: str, **changes: object) -> None:
        """A configuration that is due at two."""
        fields = {
            "name": name, "source_paths": [str(self.source)], "target_client_id": "云", "target_path": f"/{name}",
            "encrypt_key": "env:TEST_KEY", "schedule_time": "02:00",
        }  # fmt: skip
        self.app.add_config(BackupConfig(**(fields | changes)), replace=True)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path, source: Path) -> Iterator[Machine]:
    clock = ManualClock(datetime(2026, 3, 2, 12, 0, tzinfo=BERLIN))
    with open_application(tmp_path / "home", clock=clock) as app:
        app.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        yield Machine(app, clock, source)


def test_sundays_are_for_full_backups_as_in_prefect(machine: Machine) -> None:
    machine.add("文档")
    machine.at(2026, 3, 2, 12, 5)
    for day in range(3, 11):
        assert machine.at(2026, 3, day, 2, 0) == ["文档"]
    made = sorted(machine.app.backups("文档"), key=lambda backup: backup.created_at)
    kinds = [backup.backup_type for backup in made]
    assert kinds == ["full"] + ["incremental"] * 4 + ["full"] + ["incremental"] * 2  # the first has no earlier one
    (config,) = machine.app.list_configs()
    for day in range(2, 9):
        cron = str((date(2026, 3, day).weekday() + 1) % 7)
        kind = kind_on(config, date(2026, 3, day))
        assert cron_days(config, kind) == ("0" if cron == "0" else "1-6")
    always_full = config.model_copy(update={"incremental": False})
    assert kind_on(always_full, date(2026, 3, 3)) == "full"
    assert (cron_days(always_full, "full"), cron_days(always_full, "incremental")) == ("*", "")


def test_a_week_with_a_machine_that_sleeps(machine: Machine) -> None:
    machine.add("文档")
    assert machine.at(2026, 3, 2, 12, 5) == [], "it waits for its hour"
    assert machine.at(2026, 3, 3, 1, 59) == []
    assert machine.at(2026, 3, 3, 2, 0) == ["文档"]
    assert machine.at(2026, 3, 3, 2, 1) == []
    assert machine.at(2026, 3, 3, 23, 0) == []
    assert machine.at(2026, 3, 7, 9, 30) == ["文档"], "four missed runs are made up for once"
    assert machine.at(2026, 3, 7, 9, 31) == []
    assert machine.at(2026, 3, 8, 2, 0) == ["文档"]
    assert len(machine.app.backups("文档")) == 3


def test_a_program_that_was_restarted_repeats_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.add("文档")
    assert machine.at(2026, 3, 3, 2, 0) == ["文档"]
    with open_application(tmp_path / "home", clock=machine.clock) as again:
        again.add_config(machine.app.get_config("文档"), replace=True)
        assert again.manager._scheduler.run_due(CancelToken()) == []
        machine.clock.set(datetime(2026, 3, 4, 8, 0, tzinfo=BERLIN))
        assert again.manager._scheduler.run_due(CancelToken()) == ["文档"], "down at two: made up for on return"


def test_a_run_by_others_counts(machine: Machine) -> None:
    machine.add("文档")
    machine.clock.set(datetime(2026, 3, 3, 2, 0, 5, tzinfo=BERLIN))
    machine.app.backup("文档")  # as a deployment, or a person, starts it
    assert machine.at(2026, 3, 3, 2, 0, 30) == []


def test_a_failing_job_is_recorded_and_the_others_go_on(machine: Machine, tmp_path: Path) -> None:
    machine.add("一", source_paths=[str(tmp_path / "not there")])
    machine.add("二")
    assert sorted(machine.at(2026, 3, 3, 2, 0)) == ["一", "二"]
    assert {run.config_name: run.outcome for run in machine.app.runs()} == {"一": "failed", "二": "completed"}
    assert machine.at(2026, 3, 3, 2, 30) == [], "it is tried again the next day"
    assert sorted(machine.at(2026, 3, 4, 2, 0)) == ["一", "二"]


def test_the_hour_that_is_left_out_in_spring(machine: Machine) -> None:
    machine.add("文档", schedule_time="02:30")
    assert machine.at(2026, 3, 28, 2, 30) == ["文档"]
    assert machine.at(2026, 3, 29, 1, 59) == []
    assert machine.at(2026, 3, 29, 3, 0) == ["文档"], "there is no 02:30 on this day"
    assert machine.at(2026, 3, 29, 3, 30) == []
    assert machine.at(2026, 3, 30, 2, 30) == ["文档"]


def test_the_hour_that_comes_twice_in_autumn(machine: Machine) -> None:
    machine.add("文档", schedule_time="02:30")
    assert machine.at(2026, 10, 24, 2, 30) == ["文档"]
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    machine.clock.set(first)
    assert machine.app.manager._scheduler.run_due(CancelToken()) == ["文档"]
    for minutes in (10, 29, 30, 40, 60, 65, 90):
        machine.clock.set((first.astimezone(ZoneInfo("UTC")) + timedelta(minutes=minutes)).astimezone(BERLIN))
        assert machine.app.manager._scheduler.run_due(CancelToken()) == []
    assert machine.at(2026, 10, 26, 2, 30) == ["文档"]


def test_a_clock_that_is_set_back_repeats_nothing(machine: Machine) -> None:
    machine.add("文档")
    assert machine.at(2026, 3, 5, 2, 0) == ["文档"]
    assert machine.at(2026, 3, 3, 12, 0) == []
    assert machine.at(2026, 3, 6, 2, 0) == ["文档"]


def test_never_twice_at_once(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add("文档")
    machine.clock.set(datetime(2026, 3, 3, 2, 0, tzinfo=BERLIN))
    inside, go_on = threading.Event(), threading.Event()
    refused: list[str] = []
    service = machine.app.manager.backup_service
    honest: Callable[..., object] = service.run

    def slow(name: str, **options: object) -> object:
        def hold(_: object) -> None:
            inside.set()
            go_on.wait(60)

        return honest(name, **(options | {"progress": hold}))

    monkeypatch.setattr(service, "run", slow)
    worker = threading.Thread(target=lambda: machine.app.manager._scheduler.run_due(CancelToken()))
    worker.start()
    try:
        assert inside.wait(60)
        with open_application(tmp_path / "home", clock=machine.clock) as other:
            try:
                other.backup("文档")
            except LockHeld as error:
                refused.append(str(error))
            assert other.manager._scheduler.run_due(CancelToken()) == [], "its run has begun already"
    finally:
        go_on.set()
        worker.join()
    assert len(refused) == 1
    assert len(machine.app.backups("文档")) == 1
