"""The history of drills: what is compared, and when an objective was first missed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from backup_core.services.disaster.records import RunReport, StepState
from backup_core.services.disaster.trend import trend

FIRST = datetime(2026, 1, 1, 3, 0)


def drill(month: int, rto: float | None, *, rpo: float = 100.0, **changes: Any) -> RunReport:
    started = FIRST + timedelta(days=30 * month)
    facts: dict[str, Any] = {
        "run_id": f"drill_{month}", "kind": "drill", "plan_id": "dr_1", "plan_name": "主站",
        "state": StepState.COMPLETED, "started_at": started, "ended_at": started, "rto_target": 3600.0,
        "rpo_target": 86_400.0, "rto": rto, "rpo": rpo,
    }  # fmt: skip
    return RunReport(**(facts | changes))


def test_a_plan_that_was_never_drilled_has_no_trend() -> None:
    assert trend([]).drills == 0
    assert trend([drill(0, 5, sample="3 files of each step"), drill(1, 5, kind="execution")]).drills == 0


def test_slower_is_said_before_it_is_too_slow() -> None:
    found = trend([drill(month, 1000) for month in range(3)] + [drill(3, 1500)])
    assert (found.newest_rto, found.median_rto, found.change, found.first_breach) == (1500, 1000, 0.5, None)
    assert any("50% longer" in sentence for sentence in found.sentences)
    assert found.sentences[-1] == "no objective was ever missed"


def test_the_first_breach_is_remembered() -> None:
    runs = [drill(0, 1000), drill(1, 4000), drill(2, 1000), drill(3, 1000, rpo=90_000), drill(4, 5000)]
    found = trend(runs[::-1])
    assert (found.first_breach, found.first_breach_of) == (FIRST + timedelta(days=30), ("rto",))
    assert found.since == FIRST + timedelta(days=90)
    good_again = trend(runs[:3])
    assert good_again.since is None and "good again" in good_again.sentences[-1]


def test_a_drill_that_failed_missed_its_time() -> None:
    failed = drill(1, None, state=StepState.FAILED)
    assert failed.breaches == ("rto",) and not failed.good
    assert trend([drill(0, 10), failed]).first_breach_of == ("state", "rto")
    cancelled = drill(1, None, state=StepState.CANCELLED)
    assert cancelled.breaches == () and trend([drill(0, 10), cancelled]).first_breach is None
