"""Disaster recovery: plans, and every drill and every execution of a plan, step by step.

An execution is resumed from here, so a row says what was chosen (backup, target) before anything is done.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class PlanRow(Row):
    """A disaster-recovery plan."""

    TABLE: ClassVar = "dr_plan"
    KEY: ClassVar = ("plan_id",)

    plan_id: str
    name: str
    record: dict[str, Any]
    created_at: datetime


@dataclass(kw_only=True)
class PlanEventRow(Row):
    """A test or execution of a disaster-recovery plan."""

    TABLE: ClassVar = "dr_event"
    KEY: ClassVar = ("id",)

    id: int | None = None
    plan_id: str
    kind: str
    """"test" or "execution"."""
    at: datetime
    passed: bool
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class RecoveryRunRow(Row):
    """One drill or execution of a disaster-recovery plan."""

    TABLE: ClassVar = "dr_run"
    KEY: ClassVar = ("run_id",)

    run_id: str
    plan_id: str
    plan_name: Printable = ""
    kind: str
    """"drill" or "execution"."""
    state: str = "running"
    """"running", "completed", "incomplete", "failed" or "cancelled"."""
    plan: dict[str, Any] = field(default_factory=dict)
    """The plan as it was when the run began."""
    options: dict[str, Any] = field(default_factory=dict)
    """What was asked for besides: the steps and files chosen for a drill."""
    started_at: datetime
    ended_at: datetime | None = None
    rto_target: float | None = None
    """Seconds."""
    rpo_target: float | None = None
    rto: float | None = None
    """Seconds from the start until the last step was done and checked; None when it did not get there."""
    rpo: float | None = None
    """Seconds of work that would be lost: the age of the oldest backup used when the run began."""
    scratch: Printable = ""
    """The directory that a drill made for itself, until it is removed."""
    error: Printable = ""
    notes: list[str] = field(default_factory=list)
    """Sentences for people, such as that a notification could not be delivered."""
    hostname: str = ""
    pid: int = 0


@dataclass(kw_only=True)
class RecoveryStepRow(Row):
    """One step of such a run."""

    TABLE: ClassVar = "dr_step"
    KEY: ClassVar = ("id",)

    id: int | None = None
    run_id: str
    position: int
    name: str
    configuration: Printable
    state: str = "pending"
    """"pending", "running", "completed", "incomplete", "failed", "blocked" or "cancelled"."""
    stage: str = ""
    """The last stage that was begun: "before", "restore", "after" or "check"."""
    backup_id: Printable = ""
    snapshot_id: str = ""
    target: Printable = ""
    session_id: str = ""
    """The restore session that did the work."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    """Spent on this step, without the time between a crash and its resumption."""
    restore_seconds: float = 0.0
    rpo: float | None = None
    """Seconds between the backup and the start of the run."""
    files_total: int = 0
    files_restored: int = 0
    bytes_restored: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    """Path -> why it could not be restored."""
    acts: list[dict[str, Any]] = field(default_factory=list)
    """Commands and checks, with what became of them."""
    error: Printable = ""
