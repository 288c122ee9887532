"""The cleanup flow against a real Prefect server, with an application that answers as told."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from backup_core.errors import CleanupHeld, ConnectionLost, ListingUnproved
from backup_core.services.records import BackupManifest
from backup_core.services.retention.pruning import PruneResult
from backup_core.services.retention.records import CleanupDecision, CleanupResult, Hold
from flows import cleanup as cleanup_module
from flows._parameters import Unused
from flows._retention_report import cleanup_report
from flows.cleanup import cleanup_backups

from .conftest import FakeApplication
from .test_flows import artifacts, newest_run

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]
MOMENT = datetime(2026, 11, 23, 2, 0)


def backup(number: int) -> BackupManifest:
    return BackupManifest(
        f"docs_2026112{number}_020000", "docs", "incremental", MOMENT, 10, 5, 3, f"{number:064x}", hostname="a|b"
    )


def result(**changes: Any) -> CleanupResult:
    decisions = (
        CleanupDecision(backup(3), True, ("last 1 of 1", "the newest one, which always stays")),
        CleanupDecision(backup(2), False, ("no rule keeps it",)),
    )
    return CleanupResult(**({"config_name": "docs", "dry_run": True, "decisions": decisions} | changes))


PRUNED = PruneResult("docs", True, 7, 7000, 2, 1024, 3, 3000, 1, 10, 0, 5 * 1024**2, 9,
                     {"copy": 3, "index": 2, "delete": 6}, {"PROPFIND": 260}, 1.5)  # fmt: skip


@pytest.fixture
def retention(application: FakeApplication, monkeypatch: pytest.MonkeyPatch) -> FakeApplication:
    """What the flow asks for decisions; it has rules for "docs" and none for "photos"."""
    asked = FakeApplication()
    asked.answers = {
        "plan": lambda name, **_: result(pruned=PRUNED),
        "cleanup": lambda name, **_: result(dry_run=False, forgotten=(backup(2),), pruned=PRUNED),
    }
    application.retention = asked
    configs = [application.get_config("docs").model_copy(update={"keep_daily": 7}), application.get_config("photos")]
    application.answers["list_configs"] = lambda **_: configs
    monkeypatch.setattr("flows.cleanup.open_application", lambda: application)
    for name in ("plan", "forget"):
        quick = getattr(cleanup_module, name).with_options(retry_delay_seconds=0)
        monkeypatch.setattr(cleanup_module, name, quick)
    return asked


def test_it_is_a_dry_run_unless_told_otherwise(retention: FakeApplication) -> None:
    state = cleanup_backups("docs", return_state=True)
    assert state.is_completed() and "dry run: 1 backups" in str(state.message)
    assert not retention.called("cleanup")
    (planned,) = retention.called("plan")
    assert planned["prune"].max_unused == "5%"
    (report,) = [a for a in artifacts(newest_run()) if a.type == "markdown"]
    assert report.key == "cleanup-docs"
    assert "| **forget** | docs" in report.data and "no rule keeps it" in report.data
    assert "**5.0 MiB** would be given back" in report.data


def test_it_forgets_and_prunes_within_bounds(retention: FakeApplication) -> None:
    state = cleanup_backups("docs", dry_run=False, max_unused="0", max_requests=50, return_state=True)
    assert str(state.message) == f"1 backups forgotten, {5 * 1024**2} bytes given back"
    (done,) = retention.called("cleanup")
    assert (done["prune"].max_unused, done["prune"].max_requests) == ("0", 50)


def test_only_configurations_with_rules_are_cleaned(retention: FakeApplication) -> None:
    assert [r.config_name for r in cleanup_backups(prune=False)] == ["docs"]
    (planned,) = retention.called("plan")
    assert planned["prune"] is None


def test_only_errors_that_may_pass_are_tried_again(retention: FakeApplication) -> None:
    outcomes: list[Any] = [ConnectionLost("gone"), result(dry_run=False)]

    def answer(name: str, **_: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    retention.answers["cleanup"] = answer
    assert cleanup_backups("docs", dry_run=False, return_state=True).is_completed()
    assert len(retention.called("cleanup")) == 2
    outcomes.append(ListingUnproved("it was cut"))
    assert cleanup_backups("docs", dry_run=False, return_state=True).is_failed()
    assert len(retention.called("cleanup")) == 3


def test_a_held_configuration_fails_the_run_and_says_why(retention: FakeApplication) -> None:
    def held(name: str, **_: Any) -> Any:
        raise CleanupHeld("look at docs")

    hold = Hold("docs_20261123_020000", "5e" * 32, "docs", ("all files are gone",), MOMENT)
    retention.answers["cleanup"] = held
    retention.answers["plan"] = lambda name, **_: result(holds=(hold,))
    state = cleanup_backups("docs", dry_run=False, return_state=True)
    assert state.is_failed() and state.message == "look at docs"
    (report,) = [a.data for a in artifacts(newest_run()) if a.type == "markdown"]
    assert "all files are gone" in report and "davault hold release" in report
    assert len(retention.called("cleanup")) == 1
    assert cleanup_backups(dry_run=False, return_state=True).is_failed()


def test_names_cannot_break_the_report() -> None:
    assert r"a\|b" in cleanup_report(result())


@pytest.mark.parametrize(("text", "right"), [("5%", True), ("0", True), ("500M", True), ("much", False)])
def test_the_form_takes_amounts_only(text: str, right: bool) -> None:
    from pydantic import TypeAdapter, ValidationError

    if right:
        assert TypeAdapter(Unused).validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            TypeAdapter(Unused).validate_python(text)


def test_it_is_scheduled_where_there_are_rules(application: FakeApplication) -> None:
    from deployments.planning import plan as deployments_of

    def weekly(**changes: Any) -> SimpleNamespace:
        config = application.get_config("docs").model_copy(update=changes)
        (planned,) = [p for p in deployments_of(config, "Europe/Berlin") if p.flow.name == "cleanup-backups"]
        return SimpleNamespace(crons=[s.cron for s in planned.schedules], dry_run=planned.parameters["dry_run"])

    assert weekly(schedule_time="02:30", max_versions=5) == SimpleNamespace(crons=["30 8 * * 0"], dry_run=False)
    assert weekly(schedule_time="20:00", keep_daily=5, auto_delete_old=False) == SimpleNamespace(
        crons=["0 2 * * 1"], dry_run=True
    )
    assert weekly(schedule_time="02:30").crons == []
    assert weekly(max_versions=5).crons == []
