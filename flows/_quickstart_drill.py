"""The end of the quickstart: a disaster-recovery plan, drilled, with its recovery time and the age of its backup."""

from __future__ import annotations

from pathlib import Path

from backup_core.cli import units
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.services.application import Application
from backup_core.services.disaster.records import RunReport
from backup_core.services.disaster.reports import subject

RTO, RPO = 3600.0, 86_400.0
"""An hour to get everything back, a day of work that may be lost: objectives to begin with."""


def keep_plan(application: Application, name: str, *, source: Path, target: Path) -> None:
    """Keep a plan that brings the configuration ``name`` back, replacing that of an earlier run."""
    plans = application.recovery.disaster_recovery.plans
    check = {"kind": "command", "command": ["test", "-d", f"{{target}}/{source.name}"]}
    plan = RecoveryPlan.model_validate(
        {
            "name": name,
            "description": "Brings back what the quickstart has backed up",
            "target_base_path": str(target),
            "steps": [{"name": name, "configuration": name, "checks": [check]}],
            "rto": RTO,
            "rpo": RPO,
        }
    )
    known = [kept for kept in plans.listed() if kept.plan.name == name]
    if known:
        plans.replace(known[0].plan_id, plan)
    else:
        plans.add(plan)


def drill_lines(report: RunReport) -> list[str]:
    """What the drill showed, for people."""
    passed = sum(act.outcome == "passed" for step in report.steps for act in step.acts)
    return [
        f"{subject(report)}, and {passed} {'check' if passed == 1 else 'checks'} passed.",
        f"  RTO: all was back after {_shown(report.rto)} ({units.duration(RTO)} allowed)",
        f"  RPO: {_shown(report.rpo)} of work would have been lost ({units.duration(RPO)} allowed)",
    ]


def _shown(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else units.duration(seconds)
