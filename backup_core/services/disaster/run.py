"""Carrying out a run that was begun in the journal: the same for drills and for the real thing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.deferred import dataclass
from backup_core.errors import RestoreError
from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.disaster.acts import Surroundings
from backup_core.services.disaster.choice import Choice
from backup_core.services.disaster.combined_progress import CombinedProgress
from backup_core.services.disaster.journal import Journal
from backup_core.services.disaster.records import Mode, RunReport, StepReport, StepState
from backup_core.services.disaster.schedule import Schedule
from backup_core.services.disaster.step_run import StepRun
from backup_core.services.known_secrets import known_secrets
from backup_core.services.moments import to_aware

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService
    from backup_core.services.restore_sessions import Session

_LOG = logging.getLogger(__name__)


@dataclass
class PlanRun:
    """One run of one plan."""

    recovery: RecoveryService
    journal: Journal
    plan: RecoveryPlan
    mode: Mode
    choices: Mapping[str, Choice]
    """By the step's name; steps without one are taken as done."""
    base: Path
    cancel: CancelToken
    progress: ProgressSink
    sessions: Mapping[str, Session] = field(default_factory=dict)
    """Restores announced already, by step."""
    before: Mapping[str, StepReport] = field(default_factory=dict)
    """What earlier attempts did, by step."""
    sampled: bool = False

    def carry_out(self) -> RunReport:
        """Do all steps, and note how it went. What goes wrong with a step is in the report."""
        clock = self.recovery.backup_service.clock
        combined = CombinedProgress(self.progress)

        def work(name: str) -> StepState:
            try:
                return self._step(name, combined).carry_out()
            finally:
                combined.ended(name)

        try:
            Schedule(self.plan, work, self._left_out, cancel=self.cancel, done=self._done()).run()
        except BaseException as error:
            self.journal.run(
                state=StepState.FAILED.value, error=str(error) or type(error).__name__, ended_at=clock.now()
            )
            raise
        report = self.journal.report()
        now = clock.now()
        state = outcome(report.steps)
        reached = state in (StepState.COMPLETED, StepState.INCOMPLETE)
        self.journal.run(
            state=state.value,
            ended_at=now,
            rto=(now - to_aware(report.started_at)).total_seconds() if reached else None,
        )
        return self.journal.report()

    def _done(self) -> set[str]:
        left_out = {step.name for step in self.plan.steps if step.name not in self.choices}
        finished = {name for name, report in self.before.items() if report.state is StepState.COMPLETED}
        return left_out | finished

    def _step(self, name: str, combined: CombinedProgress) -> StepRun:
        choice = self.choices[name]
        surroundings = Surroundings(
            plan=self.plan.name,
            step=choice.step,
            mode=self.mode,
            run_id=self.journal.run_id,
            base=self.base,
            target=choice.target,
            planned_target=choice.step.place(self.plan.base),
            backup_id=choice.request.backup.backup_id if choice.request is not None else "",
        )
        return StepRun(
            journal=self.journal,
            executor=self.recovery.executor,
            clock=self.recovery.backup_service.clock,
            choice=choice,
            at=surroundings,
            cancel=self.cancel,
            progress=combined.of(name),
            known=known_secrets(self.recovery.backup_service),
            session=self.sessions.get(name),
            before=self.before.get(name),
            sampled=self.sampled,
        )

    def _left_out(self, name: str, state: StepState, reason: str) -> None:
        _LOG.warning("the step %s is not begun: %s", name, reason)
        self.journal.step(name, state=state.value, error=reason)
        if name in self.sessions:
            self.recovery.executor.withdraw(self.sessions[name], RestoreError(reason))


def outcome(steps: tuple[StepReport, ...]) -> StepState:
    """What became of a run, from what became of its steps."""
    states = {step.state for step in steps}
    if StepState.CANCELLED in states:
        return StepState.CANCELLED
    if states <= {StepState.COMPLETED}:
        return StepState.COMPLETED
    if states <= {StepState.COMPLETED, StepState.INCOMPLETE}:
        return StepState.INCOMPLETE
    return StepState.FAILED
