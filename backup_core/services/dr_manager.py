"""Disaster recovery: plans that say what is restored, where to and in which order; tested, drilled and executed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.disaster_rows import PlanEventRow
from backup_core.config.recovery_plans import RecoveryPlan, plan_in_order
from backup_core.errors import BackupError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.services.disaster.journal import load_report, shown
from backup_core.services.disaster.plans import KeptPlan, Plans
from backup_core.services.disaster.records import Preview, ReadinessReport, RunReport, Trend
from backup_core.services.disaster.trend import trend
from backup_core.services.moments import to_aware, to_local
from backup_core.services.recovery_records import DisasterRecoveryPlan

if TYPE_CHECKING:
    from backup_core.services.disaster.drill import Drills
    from backup_core.services.disaster.execution import Executions
    from backup_core.services.notices import Notices
    from backup_core.services.recovery_service import RecoveryService

__all__ = ["DisasterRecoveryManager"]


class DisasterRecoveryManager:
    """Plans, kept in the catalogue, and what becomes of them. ``plan`` is always a plan's id or its name."""

    def __init__(self, recovery: RecoveryService) -> None:
        self._recovery = recovery
        self._service = recovery.backup_service
        self._catalogue = recovery.backup_service.catalogue
        self.plans = Plans(self._catalogue, self._service.clock)

    # ---- the original system's calls

    def create(
        self,
        name: str,
        recovery_order: Sequence[str],
        target_base_path: str,
        *,
        description: str = "",
        auto_verify: bool = True,
        notification_email: str = "",
    ) -> str:
        """Keep a plan that restores configurations one after the other; its id. The configurations need not exist yet:
        ``test`` says which are missing.

        Raises ``ConfigError`` when the plan says nothing or names a configuration twice.
        """
        if isinstance(recovery_order, str):
            raise ConfigError("recovery_order: name one configuration or more, as a list")
        plan = plan_in_order(
            list(recovery_order),
            name=name,
            target_base_path=str(target_base_path),
            description=description,
            auto_verify=auto_verify,
            notification_email=notification_email,
        )
        return self.plans.add(plan, unique=False).plan_id

    def get(self, plan: str) -> DisasterRecoveryPlan:
        """One plan; ``ConfigError`` when there is none of this id or name."""
        return self._shown(self.plans.find(plan))

    def listed(self) -> list[DisasterRecoveryPlan]:
        """All plans, oldest first."""
        return [self._shown(kept) for kept in self.plans.listed()]

    def test(self, plan: str) -> dict[str, Any]:
        """Whether the plan could be executed now, without moving data. Keys: plan_id, plan_name, tested_at (ISO,
        local), passed, config_tests {configuration: {has_backups, backup_count, latest_backup, latest_backup_id,
        error}}, and those of ``readiness`` as plain values: findings, steps, rto_estimate, ..."""
        from backup_core.services.disaster.reports import document

        report = self.readiness(plan)
        tests = {
            step.configuration: {
                "has_backups": bool(step.backup_count),
                "backup_count": step.backup_count,
                "latest_backup": step.created_at.isoformat() if step.created_at else None,
                "latest_backup_id": step.backup_id or None,
                "error": step.error,
            }
            for step in report.steps
        }
        tested_at = report.tested_at.isoformat(timespec="seconds")
        return {**document(report), "tested_at": tested_at, "config_tests": tests}

    def execute(self, plan: str) -> dict[str, str]:
        """Carry the plan out in the background: step -> session id of its restore, in the plan's order.

        Raises ``ConfigError`` before anything is written when any configuration has no backup.
        """
        return self.executions.start(plan)

    # ---- beyond

    def readiness(
        self, plan: str, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> ReadinessReport:
        """Everything that executing a plan would need, looked at without moving data; kept in its history."""
        from backup_core.services.disaster.readiness import Readiness
        from backup_core.services.disaster.reports import document

        kept = self.plans.find(plan)
        report = Readiness(self._recovery, self.notices).examine(kept, cancel=cancel, progress=progress)
        at = to_aware(report.tested_at)
        self._catalogue.plans.add_event(
            PlanEventRow(plan_id=kept.plan_id, kind="test", at=at, passed=report.passed, report=document(report))
        )
        return report

    def bring_to_servers(self, plan: str) -> list[str]:
        """Have a plan kept in the repositories of its configurations now, so that a machine that has lost everything
        finds it there; sentences about what did not work, which the next backup makes good."""
        from backup_core.services.run_records.keeper import RecordKeeper

        keeper, notes = RecordKeeper(self._service), []
        for name in dict.fromkeys(step.configuration for step in self.plans.find(plan).plan.steps):
            try:
                notes += [problem.message for problem in keeper.kept(name)]
            except BackupError as error:
                notes.append(f"the plan is not kept in the repository of {name!r} yet: {error}")
        return notes

    def preview(self, plan: str) -> Preview:
        """What executing a plan would do now. Nothing is written."""
        return self.executions.preview(plan)

    def carry_out(
        self, plan: str, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> RunReport:
        """Carry a plan out in the calling thread; what cannot be brought back is in the report.

        Raises ``LockHeld`` and ``ConfigError`` before anything is written.
        """
        return self.executions.execute(plan, cancel=cancel, progress=progress)

    def resume(
        self, plan: str, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> RunReport:
        """Go on with the newest execution of a plan (or the one of this run id) where it stopped, however it did.

        Raises ``ConfigError`` when there is nothing to resume, ``LockHeld`` when it is still going on.
        """
        return self.executions.resume(plan, cancel=cancel, progress=progress)

    def drill(
        self,
        plan: str,
        *,
        steps: Collection[str] = (),
        sample: int | None = None,
        scratch: Path | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> RunReport:
        """Restore a plan - or some steps, or ``sample`` files of each - into a scratch directory, check it, measure it,
        and remove it again."""
        return self.drills.hold(plan, steps=steps, sample=sample, scratch=scratch, cancel=cancel, progress=progress)

    def history(self, plan: str | None = None, *, kind: str | None = None, limit: int | None = None) -> list[RunReport]:
        """Drills and executions of a plan (or of all), newest first, with their steps."""
        plan_id = None if plan is None else self.plans.find(plan).plan_id
        rows = self._catalogue.recoveries.listed(plan_id, kind=kind, limit=limit)
        return [shown(row, self._catalogue.recoveries.steps(row.run_id)) for row in rows]

    def report(self, run_id: str) -> RunReport:
        """One drill or execution; ``ConfigError`` when there is none of this id."""
        if self._catalogue.recoveries.get(run_id) is None:
            raise ConfigError(f"there is no drill or execution {run_id!r}; davault dr history shows them")
        return load_report(self._catalogue, run_id)

    def trend(self, plan: str) -> Trend:
        """What the drills of a plan show: recovery time against the ones before, and the first missed objective."""
        return trend([shown(row) for row in self._catalogue.recoveries.listed(self.plans.find(plan).plan_id)])

    @cached_property
    def notices(self) -> Notices:
        """How people are told."""
        from backup_core.services.notices import Notices

        return Notices(self._catalogue, self._service.clock)

    @cached_property
    def executions(self) -> Executions:
        """Executes plans."""
        from backup_core.services.disaster.execution import Executions

        return Executions(self._recovery, self.plans, self._tell)

    @cached_property
    def drills(self) -> Drills:
        """Holds drills."""
        from backup_core.services.disaster.drill import Drills

        return Drills(self._recovery, self.plans, self._tell)

    # ---- inside

    def _tell(self, plan: RecoveryPlan, report: RunReport) -> list[str]:
        from backup_core.services.disaster.reports import run_markdown, subject
        from backup_core.services.notices import Notice

        runs = [shown(row) for row in self._catalogue.recoveries.listed(report.plan_id, kind="drill")]
        sentences = trend(runs).sentences if report.kind == "drill" else ()
        notice = Notice(subject(report), run_markdown(report, sentences))
        return self.notices.send(notice, addresses=plan.addresses, channels=plan.notify)

    def _shown(self, kept: KeptPlan) -> DisasterRecoveryPlan:
        plan = kept.plan
        tested = self._catalogue.plans.last_event(kept.plan_id, "test")
        drills = self._catalogue.recoveries.listed(kept.plan_id, kind="drill", limit=1)
        return DisasterRecoveryPlan(
            plan_id=kept.plan_id,
            name=plan.name,
            recovery_order=tuple(step.configuration for step in plan.steps),
            target_base_path=plan.target_base_path,
            description=plan.description,
            auto_verify=plan.auto_verify,
            notification_email=plan.notification_email,
            created_at=kept.created_at,
            last_tested_at=to_local(tested.at) if tested else None,
            last_drilled_at=to_local(drills[0].started_at) if drills else None,
            steps=tuple(step.name for step in plan.steps),
            on_failure=plan.on_failure,
            rto=plan.rto,
            rpo=plan.rpo,
        )
