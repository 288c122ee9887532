"""What disaster recovery hands out: readiness, runs, steps, history.

Durations are seconds, moments naive and in local time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from backup_core.deferred import dataclass
from backup_core.services.findings import Finding, FindingLevel

Mode = Literal["drill", "execution"]


class StepState(StrEnum):
    """How far a step, or a whole run, has come."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    """Everything is back, and every check passed."""
    INCOMPLETE = "incomplete"
    """Done, but some files could not be restored."""
    FAILED = "failed"
    """It could not be done, or a command or a check failed."""
    BLOCKED = "blocked"
    """It was not begun, because a step before it failed."""
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Its process is gone; a run can be resumed."""

    @property
    def final(self) -> bool:
        """True when nothing more happens by itself."""
        return self not in (StepState.PENDING, StepState.RUNNING)


@dataclass(frozen=True, slots=True)
class ActResult:
    """One command or check, and what became of it."""

    stage: str
    """"before", "after" or "check"."""
    kind: str
    """"command", "file", "http", "sqlite" or "postgresql"."""
    subject: str
    """The command, path, address or query."""
    outcome: Literal["passed", "failed", "skipped"]
    message: str = ""
    """Why it failed or was skipped, or what it showed."""
    seconds: float = 0.0
    output: str = ""
    """The end of what a command printed."""

    @property
    def failed(self) -> bool:
        """True when it was run and did not do what it must."""
        return self.outcome == "failed"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of a drill or an execution."""

    name: str
    configuration: str
    state: StepState
    target: str
    backup_id: str = ""
    snapshot_id: str = ""
    session_id: str = ""
    stage: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    """From its beginning until its last check: the recovery time of this step."""
    restore_seconds: float = 0.0
    rpo: float | None = None
    """Age of its backup when the run began."""
    files_total: int = 0
    files_restored: int = 0
    bytes_restored: int = 0
    lost: Mapping[str, str] = field(default_factory=dict)
    """Path -> why it could not be restored."""
    acts: tuple[ActResult, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """A drill or an execution as a whole."""

    run_id: str
    kind: Mode
    plan_id: str
    plan_name: str
    state: StepState
    started_at: datetime
    ended_at: datetime | None
    steps: tuple[StepReport, ...] = ()
    rto_target: float | None = None
    rpo_target: float | None = None
    rto: float | None = None
    """Seconds from the start until the last check had passed; None when it did not come to that."""
    rpo: float | None = None
    """Age of the oldest backup used when the run began."""
    sample: str = ""
    """What a drill restored of it, "" for everything."""
    error: str = ""
    notes: tuple[str, ...] = ()

    @property
    def rto_met(self) -> bool | None:
        """Whether the objective was met; None when there is none, or nothing was measured."""
        return None if self.rto_target is None or self.rto is None else self.rto <= self.rto_target

    @property
    def rpo_met(self) -> bool | None:
        """The same for the data that would be lost."""
        return None if self.rpo_target is None or self.rpo is None else self.rpo <= self.rpo_target

    @property
    def breaches(self) -> tuple[str, ...]:
        """ "rto" and "rpo", as far as they were not met. A run that failed met no time at all."""
        # Of a run that was cancelled or interrupted nobody can say how long it would have taken.
        failed = self.state is StepState.FAILED and self.rto is None
        late = self.rto_met is False or (self.rto_target is not None and failed)
        return (("rto",) if late else ()) + (("rpo",) if self.rpo_met is False else ())

    @property
    def good(self) -> bool:
        """True when everything came back, every check passed and the objectives were met."""
        return self.state is StepState.COMPLETED and not self.breaches


@dataclass(frozen=True, slots=True)
class StepReadiness:
    """What is known of one step without moving data."""

    name: str
    configuration: str
    target: str
    backup_count: int = 0
    backup_id: str = ""
    created_at: datetime | None = None
    """Of the backup that would be restored."""
    age: float | None = None
    """Its age."""
    files: int = 0
    bytes_to_write: int = 0
    bytes_to_download: int = 0
    estimate: float | None = None
    """Seconds that restoring it should take, None while nothing was ever measured."""
    error: str = ""
    """Why it could not be restored, "" when it could."""


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """Whether a plan could be executed now."""

    plan_id: str
    plan_name: str
    tested_at: datetime
    findings: tuple[Finding, ...]
    steps: tuple[StepReadiness, ...]
    rto_target: float | None = None
    rpo_target: float | None = None
    rto_estimate: float | None = None
    """Seconds that the whole plan should take; None when a step was never measured."""
    rpo: float | None = None
    """Age of the oldest backup that would be used."""

    @property
    def passed(self) -> bool:
        """True when nothing found is an error."""
        return all(f.level is not FindingLevel.ERROR for f in self.findings)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of an execution as it would be done now."""

    name: str
    configuration: str
    target: str
    depends_on: tuple[str, ...]
    backup_id: str = ""
    created_at: datetime | None = None
    files: int = 0
    total_size: int = 0
    """Logical bytes of the backup."""
    commands: tuple[str, ...] = ()
    """What would be run before and after, for whoever has to approve it."""
    checks: int = 0
    problem: str = ""
    """Why it cannot be restored, "" when it can."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an execution would do."""

    plan_id: str
    plan_name: str
    on_failure: str
    parallel: int
    steps: tuple[PlannedStep, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What stands in the way."""
        return tuple(f"{step.name}: {step.problem}" for step in self.steps if step.problem)


@dataclass(frozen=True, slots=True)
class Trend:
    """What the history of a plan's drills shows."""

    drills: int
    """Drills of the whole plan that came to an end."""
    newest_rto: float | None = None
    median_rto: float | None = None
    """Of the last five before the newest."""
    change: float | None = None
    """Newest recovery time as a part more (0.2) or less (-0.2) than that median."""
    first_breach: datetime | None = None
    """When an objective was first missed."""
    first_breach_of: tuple[str, ...] = ()
    """"rto", "rpo", "state" (a drill that did not end whole)."""
    since: datetime | None = None
    """Since when every drill has missed an objective, None when the newest was good."""
    sentences: tuple[str, ...] = ()
