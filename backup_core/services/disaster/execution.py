"""Executing a plan: the real thing. It can be resumed at the step, and the stage of it, where it stood."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.home import file_stem
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.errors import BackupError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.services.disaster import journal as journals
from backup_core.services.disaster.choice import Choice, Chooser, preview
from backup_core.services.disaster.journal import Journal, load_report
from backup_core.services.disaster.plans import KeptPlan, Plans
from backup_core.services.disaster.records import Preview, RunReport, StepReport, StepState
from backup_core.services.disaster.run import PlanRun
from backup_core.services.private_files import exclusive

if TYPE_CHECKING:
    from collections.abc import Callable

    from backup_core.services.recovery_service import RecoveryService
    from backup_core.services.restore_sessions import Session

_LOG = logging.getLogger(__name__)


class Executions:
    """Previews, executes and resumes plans."""

    def __init__(
        self, recovery: RecoveryService, plans: Plans, tell: Callable[[RecoveryPlan, RunReport], list[str]]
    ) -> None:
        """``tell`` notifies people of a run that ended; it returns what could not be delivered."""
        self._recovery = recovery
        self._service = recovery.backup_service
        self._plans = plans
        self._tell = tell
        self._chooser = Chooser(recovery)

    def preview(self, plan: str) -> Preview:
        """What executing a plan (by id or name) would do now. Nothing is written."""
        kept = self._plans.find(plan)
        return preview(kept.plan, kept.plan_id, self._chooser.choose(kept.plan, kept.plan_id))

    def execute(
        self, plan: str, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> RunReport:
        """Carry out a plan in the calling thread. What cannot be brought back is in the report.

        Raises ``LockHeld`` when the plan is being executed already, and ``ConfigError`` before anything is written
        when a step has no backup and the plan stops on failure (or no step has one).
        """
        kept = self._plans.find(plan)
        with self._alone(kept):
            started = self._service.clock.now()
            choices = self._possible(kept)
            begun = self._begin(kept, choices, started)
            return self._carry_out(begun, kept.plan, choices, cancel=cancel, progress=progress)

    def start(self, plan: str) -> dict[str, str]:
        """Carry out a plan in the background: step -> session id of its restore, in the plan's order.

        Raises ``ConfigError`` before anything is written when any step has no backup.
        """
        kept = self._plans.find(plan)
        started = self._service.clock.now()
        choices = self._chooser.choose(kept.plan, kept.plan_id)
        problems = [f"{choice.step.name}: {choice.problem}" for choice in choices if choice.problem]
        if problems:
            raise ConfigError(f"the plan {kept.plan.name!r} cannot be executed", problems=problems)
        executor = self._recovery.executor
        sessions = {c.step.name: executor.announce(c.request, CancelToken()) for c in choices if c.request is not None}
        begun = self._begin(kept, choices, started)

        def work() -> None:
            try:
                with self._alone(kept):
                    self._carry_out(begun, kept.plan, choices, sessions=sessions)
            except BackupError as error:
                self._give_up(begun, sessions, error)
            except Exception as error:
                # Nobody above could be told; the run says "failed", the log says why.
                _LOG.exception("the plan %s ended", kept.plan.name)
                self._give_up(begun, sessions, ConfigError(str(error)))

        executor.in_background(work, name="davault-recovery")
        return {name: session.id for name, session in sessions.items()}

    def resumable(self, plan: str) -> RunReport | None:
        """The newest execution of a plan (or the one of this run id) if it did not end whole, else None."""
        row = self._service.catalogue.recoveries.get(plan)
        if row is None:
            kept = self._plans.find(plan)
            rows = self._service.catalogue.recoveries.listed(kept.plan_id, kind="execution", limit=1)
            row = rows[0] if rows else None
        if row is None or row.kind != "execution":
            return None
        report = load_report(self._service.catalogue, row.run_id)
        return None if report.state in (StepState.COMPLETED, StepState.RUNNING) else report

    def resume(
        self, plan: str, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> RunReport:
        """Go on with the newest execution of a plan where it stopped, with the backups that were chosen then. Steps
        that were completed are not touched.

        Raises ``ConfigError`` when there is nothing to resume, ``LockHeld`` when it is still going on.
        """
        report = self.resumable(plan)
        if report is None:
            raise ConfigError(f"no execution of {plan!r} stopped before its end; davault dr history shows them")
        row = self._service.catalogue.recoveries.get(report.run_id)
        recorded = RecoveryPlan.model_validate(row.plan if row is not None else {})
        kept = KeptPlan(report.plan_id, recorded, report.started_at)
        with self._alone(kept):
            before = {step.name: step for step in report.steps}
            choices = [self._again(kept, before[step.name]) for step in recorded.steps]
            begun = journals.take_over(self._service.catalogue, self._service.clock, report.run_id)
            for choice in choices:
                _note_choice(begun, choice)
            return self._carry_out(begun, recorded, choices, before=before, cancel=cancel, progress=progress)

    # ---- inside

    def _alone(self, kept: KeptPlan) -> AbstractContextManager[None]:
        lock = self._service.home.lock_file(f"recovery {file_stem(kept.plan_id)}")
        return exclusive(lock, subject=f"the plan {kept.plan.name!r} is being executed")

    def _possible(self, kept: KeptPlan) -> list[Choice]:
        choices = self._chooser.choose(kept.plan, kept.plan_id)
        problems = [f"{choice.step.name}: {choice.problem}" for choice in choices if choice.problem]
        if problems and (kept.plan.on_failure == "stop" or len(problems) == len(choices)):
            raise ConfigError(f"the plan {kept.plan.name!r} cannot be executed", problems=problems)
        return choices

    def _again(self, kept: KeptPlan, step: StepReport) -> Choice:
        return self._chooser.again(
            kept.plan, kept.plan_id, kept.plan.step(step.name), Path(step.target), step.snapshot_id
        )

    def _begin(self, kept: KeptPlan, choices: list[Choice], started: datetime) -> Journal:
        return journals.begin(
            self._service.catalogue,
            self._service.clock,
            kept.plan,
            choices,
            plan_id=kept.plan_id,
            kind="execution",
            started=started,
        )

    def _carry_out(
        self,
        journal: Journal,
        plan: RecoveryPlan,
        choices: list[Choice],
        *,
        sessions: Mapping[str, Session] | None = None,
        before: Mapping[str, StepReport] | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> RunReport:
        run = PlanRun(
            recovery=self._recovery,
            journal=journal,
            plan=plan,
            mode="execution",
            choices={choice.step.name: choice for choice in choices},
            base=plan.base,
            cancel=cancel or CancelToken(),
            progress=progress,
            sessions=sessions or {},
            before=before or {},
        )
        try:
            report = run.carry_out()
            undelivered = self._tell(plan, report)
            if undelivered:
                journal.run(notes=undelivered)
            return journal.report()
        finally:
            journal.close()

    def _give_up(self, journal: Journal, sessions: Mapping[str, Session], error: BackupError) -> None:
        _LOG.error("the recovery ended: %s", error)
        journal.run(state=StepState.FAILED.value, error=str(error), ended_at=self._service.clock.now())
        journal.close()
        for session in sessions.values():
            known = self._recovery.executor.progress(session.id)
            if known is not None and not known.status.final:
                self._recovery.executor.withdraw(session, error)


def _note_choice(journal: Journal, choice: Choice) -> None:
    backup = choice.request.backup if choice.request is not None else None
    if backup is not None:
        journal.step(choice.step.name, backup_id=backup.backup_id, snapshot_id=backup.snapshot_id)
