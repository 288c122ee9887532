"""One step, stage by stage: commands before, restore, commands after, checks.

Each stage is noted before it begins. After a crash the step goes on with the stage that was interrupted: a restore
finds what is there already, commands are run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import field

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Cancelled, RestoreError
from backup_core.progress import CancelToken, ProgressSink
from backup_core.results import RestoreSummary, Severity
from backup_core.services.disaster.acts import Acts, Surroundings
from backup_core.services.disaster.choice import Choice
from backup_core.services.disaster.journal import Journal, stored_acts, stored_lost
from backup_core.services.disaster.records import ActResult, StepReport, StepState
from backup_core.services.known_secrets import KnownSecrets
from backup_core.services.recovery_executor import RecoveryExecutor
from backup_core.services.restore_sessions import Session

_LOG = logging.getLogger(__name__)
STAGES = ("before", "restore", "after", "check")


@dataclass
class StepRun:
    """One step of one run, carried out in the calling thread."""

    journal: Journal
    executor: RecoveryExecutor
    clock: Clock
    choice: Choice
    at: Surroundings
    cancel: CancelToken
    progress: ProgressSink
    known: KnownSecrets = field(default_factory=KnownSecrets)
    """What the commands of the step must not see or show."""
    session: Session | None = None
    """The restore, when it was announced already."""
    before: StepReport | None = None
    """What an earlier attempt did."""
    sampled: bool = False
    lost: dict[str, str] = field(default_factory=dict)
    acts: list[ActResult] = field(default_factory=list)

    def carry_out(self) -> StepState:
        """Do the step, and note what became of it. No error leaves here: other steps may still be done."""
        begun = self.clock.monotonic()
        first = self.before.started_at is None if self.before else True
        started = {"started_at": self.clock.now()} if first else {}
        self._note(state=StepState.RUNNING.value, ended_at=None, error="", **started)
        error = ""
        try:
            state = self._stages()
        except Cancelled as stopped:
            state, error = StepState.CANCELLED, str(stopped)
        except BackupError as problem:
            state, error = StepState.FAILED, str(problem)
            _LOG.error("the step %s failed: %s", self.at.step.name, error)
        except Exception as problem:
            # The other steps are to come back all the same; the log says more.
            state, error = StepState.FAILED, f"unexpected {type(problem).__name__}: {problem}"
            _LOG.exception("the step %s failed", self.at.step.name)
        self._note(
            state=state.value,
            error=error,
            ended_at=self.clock.now(),
            seconds=(self.before.seconds if self.before else 0.0) + self.clock.monotonic() - begun,
            lost=stored_lost(self.lost),
            acts=stored_acts(self.acts),
        )
        return state

    def _stages(self) -> StepState:
        work: dict[str, Callable[[], None]] = {
            "before": lambda: self._commands("before"),
            "restore": self._restore,
            "after": lambda: self._commands("after"),
            "check": self._checks,
        }
        for stage in self._remaining():
            self.cancel.check()
            self._note(stage=stage, acts=stored_acts(self.acts))
            work[stage]()
        failed = [act for act in self.acts if act.stage == "check" and act.failed]
        if failed:
            raise RestoreError("; ".join(f"{act.kind} check of {act.subject}: {act.message}" for act in failed))
        return StepState.INCOMPLETE if self.lost else StepState.COMPLETED

    def _remaining(self) -> tuple[str, ...]:
        earlier = self.before
        if earlier is None or earlier.stage not in STAGES:
            return STAGES
        # Files that were lost may be had again by now, so such a step restores once more.
        stage = "restore" if earlier.lost and STAGES.index(earlier.stage) > 1 else earlier.stage
        begin = STAGES.index(stage)
        self.acts = [act for act in earlier.acts if STAGES.index(act.stage) < begin]
        if begin > 1 and self.session is not None:
            self.executor.withdraw(self.session, RestoreError("its files were restored by an earlier attempt"))
        return STAGES[begin:]

    def _commands(self, stage: str) -> None:
        runner = Acts(self.clock, self.cancel, self.known)
        step = self.at.step
        for command in step.before if stage == "before" else step.after:
            done = runner.command(stage, command, self.at)
            self.acts.append(done)
            if done.failed:
                raise RestoreError(f"the command {done.subject} failed: {done.message}")

    def _restore(self) -> None:
        if self.choice.request is None:
            raise RestoreError(self.choice.problem)
        session = self.session or self.executor.announce(self.choice.request, self.cancel)
        self._note(session_id=session.id)
        summary = self.executor.carry_out(session, self.progress)
        self.lost = lost_files(summary)
        self._note(
            restore_seconds=summary.seconds,
            files_total=summary.files_total,
            files_restored=summary.files_restored + summary.files_unchanged,
            bytes_restored=summary.bytes_restored,
            lost=stored_lost(self.lost),
        )
        # Asked to stop, a restore ends with what it has.
        session.cancel.check()

    def _checks(self) -> None:
        runner = Acts(self.clock, self.cancel, self.known)
        self.acts += [runner.check(check, self.at, sampled=self.sampled) for check in self.at.step.checks]

    def _note(self, **fields: object) -> None:
        self.journal.step(self.at.step.name, **fields)


def lost_files(summary: RestoreSummary) -> dict[str, str]:
    """Path -> why it did not come back. An object of the repository is only named when no file is named for it."""
    lost = dict(summary.failed)
    for problem in summary.problems:
        if problem.severity is Severity.ERROR and (problem.path or not summary.failed):
            lost.setdefault(problem.path or problem.object_id or problem.kind, problem.message)
    return lost
