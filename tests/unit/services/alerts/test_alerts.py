"""Each condition fires with advice, is told once, reminded of, and taken back when all is well again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_core.catalogue.retention_rows import HoldRow
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.notifications import NotificationSettings
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.services.alerts.alerts import Alerts
from backup_core.services.alerts.conditions import alerts, due
from backup_core.services.alerts.records import AlertKind, ConfigurationFacts, Facts, PlanFacts
from backup_core.services.application import Application, open_application
from backup_core.services.notices import Notice, Notices
from backup_core.testing.clocks import ManualClock

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def configuration(**changes: Any) -> ConfigurationFacts:
    facts = {"name": "文档", "created_at": NOW - 90 * DAY, "longest_age": 172_800.0, "newest_backup": NOW - 10 * HOUR}
    return ConfigurationFacts(**(facts | changes))


def plan(**changes: Any) -> PlanFacts:
    return PlanFacts(**({"name": "主站", "created_at": NOW - 90 * DAY, "last_drill": NOW - 20 * DAY} | changes))


def facts(*configurations: ConfigurationFacts, plans: tuple[PlanFacts, ...] = (), **changes: Any) -> Facts:
    return Facts(now=NOW, configurations=configurations, plans=plans, **changes)


def kinds(given: Facts) -> list[str]:
    found = alerts(given)
    assert all(alert.advice and alert.message for alert in found), "each says what to do"
    return [alert.kind.value for alert in found]


def test_nothing_is_alarming_when_all_is_well() -> None:
    assert kinds(facts(configuration(), plans=(plan(),), stored_bytes=5, storage_budget=5)) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"newest_backup": NOW - 49 * HOUR}, "no-backup"),
        ({"newest_backup": NOW - 5 * HOUR, "longest_age": 4 * 3600.0}, "no-backup"),
        ({"newest_backup": None}, "no-backup"),
        ({"failed_at": NOW - HOUR, "failure": "507 Insufficient Storage"}, "run-failed"),
        ({"invalid": ("文档_1",), "damage": "the pack is missing"}, "validation-failed"),
        ({"held": ("文档_2",), "signs": "90% of the files changed"}, "hold"),
    ],
)
def test_each_condition_of_a_configuration_fires(changes: dict[str, Any], kind: str) -> None:
    assert kinds(facts(configuration(**changes))) == [kind]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"last_drill": NOW - 41 * DAY}, "drill-missed"),
        ({"last_drill": None}, "drill-missed"),
        ({"faults": ("rto",)}, "drill-failed"),
        ({"unfinished": "execution_1", "unfinished_state": "interrupted"}, "recovery-unfinished"),
    ],
)
def test_each_condition_of_a_plan_fires(changes: dict[str, Any], kind: str) -> None:
    assert kinds(facts(plans=(plan(**changes),))) == [kind]


def test_storage_over_its_budget() -> None:
    assert kinds(facts(stored_bytes=6, storage_budget=5)) == ["storage-budget"]


def test_what_is_new_here_is_given_its_time() -> None:
    assert kinds(facts(configuration(newest_backup=None, created_at=NOW - HOUR))) == []
    assert kinds(facts(plans=(plan(last_drill=None, created_at=NOW - DAY),))) == []


def test_people_are_reminded() -> None:
    found = alerts(facts(configuration(newest_backup=None)))
    assert due(found, {}, now=NOW, remind_after=86_400) == list(found)
    assert due(found, {"no-backup:文档": NOW - HOUR}, now=NOW, remind_after=86_400) == []
    assert due(found, {"no-backup:文档": NOW - DAY}, now=NOW, remind_after=86_400) == list(found)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("TEST_KEY", "key")
    source = tmp_path / "files"
    source.mkdir()
    (source / "a").write_text("content")
    with open_application(tmp_path / "home", clock=clock) as application:
        application.add_client(ClientConfig(name="disk", url=str(tmp_path / "store")))
        application.add_config(
            BackupConfig(
                name="docs",
                source_paths=[str(source)],
                target_client_id="disk",
                target_path="/b",
                encrypt_key="env:TEST_KEY",
            )
        )
        yield application


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Notice]:
    """The notices that were sent."""
    notices: list[Notice] = []
    monkeypatch.setattr(Notices, "send", lambda self, notice, **_: notices.append(notice) or [])
    return notices


def test_the_catalogue_tells_each_of_them(app: Application, clock: ManualClock, tmp_path: Path) -> None:
    service = app.manager.backup_service
    watch = Alerts(service)

    def found() -> set[str]:
        return {alert.kind.value for alert in watch.evaluate()}

    backup = app.backup("docs")
    assert found() == set()
    service.catalogue.history.begin_run(
        RunRow(kind="backup", configuration="docs", started_at=clock.now(), outcome="failed", error="507")
    )
    row = {"backup_id": backup.backup_id, "snapshot_id": backup.snapshot_id, "configuration": "docs", "depth": "data"}
    service.catalogue.history.add_validation(
        ValidationRow(**row, started_at=clock.now(), is_valid=False, errors=["the pack is missing"])
    )
    service.catalogue.holds.add(
        HoldRow(
            snapshot_id=backup.snapshot_id,
            repository_id="r",
            backup_id=backup.backup_id,
            configuration="docs",
            signs=[{"kind": "mass-change", "message": "90% of the files changed"}],
            begun_at=clock.now(),
        )
    )
    step = {"name": "docs", "configuration": "docs"}
    app.recovery.disaster_recovery.plans.add(
        RecoveryPlan.model_validate({"name": "p", "target_base_path": str(tmp_path / "out"), "steps": [step]})
    )
    app.recovery.disaster_recovery.notices.keep(NotificationSettings(storage_budget=1))
    assert found() == {"run-failed", "validation-failed", "hold", "storage-budget"}
    app.recovery.disaster_recovery.drill("p", scratch=tmp_path / "scratch")
    clock.advance(41 * 86_400)
    assert {"no-backup", "drill-missed"} <= found()
    app.backup("docs")
    service.catalogue.holds.release(backup.snapshot_id, at=clock.now(), note="my own doing")
    service.catalogue.history.add_validation(ValidationRow(**row, started_at=clock.now(), is_valid=True))
    assert found() - {"drill-failed"} == {"drill-missed", "storage-budget"}


def test_alerts_are_told_once_reminded_and_taken_back(app: Application, clock: ManualClock, sent: list[Notice]) -> None:
    watch = Alerts(app.manager.backup_service)
    assert watch.tell().new == () and sent == []
    clock.advance(3 * 86_400)
    assert watch.tell().new == ("no-backup:docs",)
    assert "docs does not exist" in sent[0].subject and "davault backup docs" in sent[0].text
    assert watch.tell().new == () and len(sent) == 1, "the same is not told at once again"
    clock.advance(86_400)
    assert watch.tell().new == ("no-backup:docs",)
    app.backup("docs")
    assert watch.tell().resolved == ("no-backup:docs",)
    assert "all is well again" in sent[-1].subject
    assert watch.tell().resolved == () and len(sent) == 3


def test_what_was_not_delivered_is_told_again(
    app: Application, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notices, "send", lambda self, notice, **_: ["no mail was sent"])
    watch = Alerts(app.manager.backup_service)
    clock.advance(3 * 86_400)
    assert watch.tell().undelivered == ("no mail was sent",)
    assert watch.tell().new == ("no-backup:docs",)


def test_plans_and_settings_say_how_old_a_backup_may_be(app: Application, clock: ManualClock, tmp_path: Path) -> None:
    manager, watch = app.recovery.disaster_recovery, Alerts(app.manager.backup_service)
    app.backup("docs")
    clock.advance(5 * 3600)
    assert watch.evaluate() == ()
    manager.notices.keep(NotificationSettings(no_backup_for="4h"))
    assert [alert.kind for alert in watch.evaluate()] == [AlertKind.NO_BACKUP]
    step = {"name": "docs", "configuration": "docs"}
    manager.plans.add(
        RecoveryPlan.model_validate({"name": "p", "target_base_path": str(tmp_path), "steps": [step], "rpo": "6h"})
    )
    assert watch.evaluate() == ()
