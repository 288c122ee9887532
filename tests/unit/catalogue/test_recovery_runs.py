"""Drills and executions are kept step by step, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import RecoveryRunRow, RecoveryStepRow

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def begin(catalogue: Catalogue, run_id: str, *, days: int, kind: str = "drill", plan_id: str = "dr_1") -> None:
    run = RecoveryRunRow(
        run_id=run_id,
        plan_id=plan_id,
        plan_name="主站",
        kind=kind,
        started_at=NOW + timedelta(days=days),
        rto_target=60.0,
    )
    steps = [
        RecoveryStepRow(run_id=run_id, position=number, name=name, configuration=name, target=f"/t/{name}\udcff")
        for number, name in enumerate(("库", "code"))
    ]
    catalogue.recoveries.begin(run, steps)


def test_a_run_is_found_again_with_its_steps_in_order(catalogue: Catalogue) -> None:
    begin(catalogue, "drill_1", days=0)
    recoveries = catalogue.recoveries
    recoveries.update_step("drill_1", "code", state="incomplete", lost={"a\udcff.txt": "the pack is gone"}, seconds=1.5)
    recoveries.update("drill_1", state="incomplete", ended_at=NOW, rto=59.5, notes=["no mail was sent"])
    recoveries.update("unknown", state="failed")
    recoveries.update_step("drill_1", "unknown", state="failed")
    run = recoveries.get("drill_1")
    assert run is not None
    assert (run.state, run.ended_at, run.rto, run.rto_target, run.rpo) == ("incomplete", NOW, 59.5, 60.0, None)
    first, second = recoveries.steps("drill_1")
    assert (first.name, first.state, second.state, second.seconds) == ("库", "pending", "incomplete", 1.5)
    assert second.lost == {"a\udcff.txt": "the pack is gone"}


def test_runs_are_listed_newest_first(catalogue: Catalogue) -> None:
    begin(catalogue, "drill_1", days=1)
    begin(catalogue, "execution_1", days=3, kind="execution")
    begin(catalogue, "drill_2", days=2)
    begin(catalogue, "drill_3", days=4, plan_id="dr_2")
    listed = catalogue.recoveries.listed
    assert [run.run_id for run in listed()] == ["drill_3", "execution_1", "drill_2", "drill_1"]
    assert [run.run_id for run in listed("dr_1", kind="drill")] == ["drill_2", "drill_1"]
    assert [run.run_id for run in listed("dr_1", limit=1)] == ["execution_1"]


def test_plans_are_forgotten_without_their_history(catalogue: Catalogue) -> None:
    catalogue.plans.save("dr_1", "主站", {"name": "主站"}, NOW)
    begin(catalogue, "drill_1", days=0)
    assert catalogue.plans.remove("dr_1") and not catalogue.plans.remove("dr_1")
    assert len(catalogue.recoveries.listed("dr_1")) == 1
