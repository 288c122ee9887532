"""What the parts of the catalogue keep, on every database alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.exc import StatementError

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import PlanEventRow
from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.errors import CatalogueError

NOW = datetime(2026, 11, 23, 2, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def manifest(number: int, **changes: Any) -> KnownBackup:
    fields = {
        "snapshot_id": f"{number:064x}",
        "repository_id": "r1",
        "backup_id": f"重要文档_{number}",
        "configuration": "重要文档",
        "backup_type": "incremental" if number else "full",
        "created_at": NOW + number * HOUR,
        "total_size": 5_000_000_000,
        "stored_size": 100 + number,
        "data_added": 200,
    }
    return KnownBackup(**{**fields, **changes})


def session_row(**changes: Any) -> RestoreSessionRow:
    fields = {
        "session_id": "s", "configuration": "c", "backup_id": "b", "snapshot_id": "0", "target": "/t",
        "started_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return RestoreSessionRow(**{**fields, **changes})


def test_setups(catalogue: Catalogue) -> None:
    setups = catalogue.setups
    setups.save_client("云", {"url": "https://x/"}, NOW)
    setups.save_client("云", {"url": "https://y/"}, NOW + HOUR)
    row = setups.client("云")
    assert row is not None
    assert (row.record, row.created_at, row.updated_at) == ({"url": "https://y/"}, NOW, NOW + HOUR)
    setups.save_configuration("b", {"n": 1}, NOW, client="云", target_path="/")
    setups.save_configuration("a", {"n": 2}, NOW, client="云", target_path="/")
    assert [c.name for c in setups.configurations()] == ["a", "b"]
    assert setups.remove_configuration("b") and not setups.remove_configuration("b")
    assert setups.remove_client("云") and not setups.remove_client("云")
    assert setups.client("云") is None and setups.setting("never") is None


def test_moments_come_back_as_they_were(catalogue: Catalogue) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=8)))
    catalogue.setups.save_client("a", {}, elsewhere)
    row = catalogue.setups.client("a")
    assert row is not None and row.created_at == NOW and row.created_at.tzinfo is not None


def test_a_naive_moment_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises((StatementError, CatalogueError, ValueError)):
        catalogue.setups.save_client("a", {}, NOW.replace(tzinfo=None))


def test_text_that_databases_refuse_is_escaped(catalogue: Catalogue) -> None:
    catalogue.restores.add(session_row(target="/t\0\udcff", options={"patterns": ["\udcff\0"]}))
    row = catalogue.restores.get("s")
    assert row is not None
    assert row.target == "/t\\x00\\udcff"
    assert row.options == {"patterns": ["\udcff\0"]}


def test_runs(catalogue: Catalogue) -> None:
    history = catalogue.history
    for number in range(3):
        history.begin_run(RunRow(kind="backup", configuration="a", started_at=NOW + number * HOUR))
    last = history.begin_run(RunRow(kind="backup", configuration="b", started_at=NOW))
    history.end_run(last, outcome="completed", figures={"files": 3}, requests={"PUT": 2}, ended_at=NOW + HOUR)
    assert [r.started_at - NOW for r in history.runs("a")] == [2 * HOUR, HOUR, 0 * HOUR]
    assert history.runs("a")[0].outcome == "running"
    ended = history.runs("b")[0]
    assert (ended.outcome, ended.figures, ended.requests) == ("completed", {"files": 3}, {"PUT": 2})
    assert history.last_start("a", kind="backup") == NOW + 2 * HOUR
    assert history.last_start("z", kind="backup") is None
    assert len(history.runs(limit=2)) == 2
    history.begin_run(RunRow(kind="cleanup", configuration="a", started_at=NOW))
    assert history.outcomes(kind="backup") == {"running": 3, "completed": 1}
    assert history.outcomes("b", kind="backup") == {"completed": 1}
    assert history.outcomes("z", kind="backup") == {}


def test_validations(catalogue: Catalogue) -> None:
    for hours, valid in ((0, True), (1, True), (2, False)):
        catalogue.history.add_validation(
            ValidationRow(
                backup_id="b",
                snapshot_id="0",
                configuration="a",
                depth="data",
                started_at=NOW + hours * HOUR,
                is_valid=valid,
            )
        )
    assert catalogue.history.last_good_validations() == {"0": NOW + HOUR}
    assert [v.is_valid for v in catalogue.history.validations("a")] == [False, True, True]


def test_a_mirror_shows_what_is_there_and_keeps_what_is_known(catalogue: Catalogue) -> None:
    manifests = catalogue.manifests
    manifests.add(manifest(0, problems=7))
    manifests.add(manifest(1))
    manifests.add(manifest(9, repository_id="r2"))
    manifests.mirror("r1", [manifest(0), manifest(2)])
    assert [(m.snapshot_id[-1], m.problems) for m in manifests.listed(repository_id="r1")] == [("2", 0), ("0", 7)]
    assert len(manifests.listed()) == 3, "other repositories are not touched"
    manifests.mirror("r1", [], keep=[f"{2:064x}"])
    assert [m.snapshot_id[-1] for m in manifests.listed(repository_id="r1")] == ["2"]
    manifests.mirror("r1", [manifest(3)], keep=None)
    assert [m.snapshot_id[-1] for m in manifests.listed(repository_id="r1")] == ["3", "2"]
    manifests.remove([f"{3:064x}"])
    assert [m.snapshot_id[-1] for m in manifests.listed(repository_id="r1")] == ["2"]


def test_backups_are_found_by_name_and_by_snapshot(catalogue: Catalogue) -> None:
    catalogue.manifests.add(manifest(1, snapshot_id="abcdef0123456789" * 4))
    catalogue.manifests.add(manifest(2, backup_id="50%_1"))
    assert [m.snapshot_id[:4] for m in catalogue.manifests.find("abcdef01")] == ["abcd"]
    assert catalogue.manifests.find("abcdef0") == [], "seven digits are too few"
    assert catalogue.manifests.find("50%_2") == [] and len(catalogue.manifests.find("50%_1")) == 1
    assert catalogue.manifests.find("%%%%%%%%") == []


def test_totals(catalogue: Catalogue) -> None:
    for number in range(3):
        catalogue.manifests.add(manifest(number))
    catalogue.manifests.add(manifest(7, configuration="其他"))
    totals = {(t.configuration, t.backup_type): t for t in catalogue.manifests.totals()}
    part = totals["重要文档", "incremental"]
    assert (part.count, part.total_size, part.stored_size, part.oldest, part.newest) == (
        2, 10_000_000_000, 203, NOW + HOUR, NOW + 2 * HOUR,
    )  # fmt: skip
    assert {t.configuration for t in catalogue.manifests.totals("其他")} == {"其他"}
    assert [at - NOW for at, _, _ in catalogue.manifests.sizes_over_time("重要文档")] == [0 * HOUR, HOUR, 2 * HOUR]


def test_sessions_can_be_stopped_from_anywhere(catalogue: Catalogue) -> None:
    catalogue.restores.add(session_row())
    assert catalogue.restores.update("s", files_done=5_000_000_000) is False
    catalogue.restores.update("s", cancel_requested=True)
    assert catalogue.restores.update("s", files_done=2) is True
    assert catalogue.restores.update("unknown", files_done=2) is False
    assert [r.session_id for r in catalogue.restores.listed()] == ["s"]


def test_plans(catalogue: Catalogue) -> None:
    catalogue.plans.save("p", "站", {"order": ["a"]}, NOW)
    catalogue.plans.save("p", "主站", {"order": ["b"]}, NOW + HOUR)
    row = catalogue.plans.get("p")
    assert row is not None and (row.name, row.record, row.created_at) == ("主站", {"order": ["b"]}, NOW)
    for hours in (1, 0):
        catalogue.plans.add_event(PlanEventRow(plan_id="p", kind="test", at=NOW + hours * HOUR, passed=True))
    newest = catalogue.plans.last_event("p", "test")
    assert newest is not None and newest.at == NOW + HOUR
    assert catalogue.plans.last_event("p", "execution") is None
    assert catalogue.plans.get("q") is None and len(catalogue.plans.listed()) == 1
