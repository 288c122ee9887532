"""The tables of disaster recovery: plans, and every drill and every execution of a plan, step by step.

An execution is resumed from here, so a row says what was chosen (backup, target) before anything is done.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText
from backup_core.catalogue.models import Row


class PlanRow(Row, table=True):
    """A disaster-recovery plan."""

    __tablename__ = "dr_plan"

    plan_id: str = Field(primary_key=True)
    name: str
    record: dict[str, Any] = Field(sa_type=Document)
    created_at: datetime = Field(sa_type=Moment)


class PlanEventRow(Row, table=True):
    """A test or execution of a disaster-recovery plan."""

    __tablename__ = "dr_event"

    id: int | None = Field(default=None, primary_key=True)
    plan_id: str = Field(index=True)
    kind: str
    """"test" or "execution"."""
    at: datetime = Field(sa_type=Moment)
    passed: bool
    report: dict[str, Any] = Field(default_factory=dict, sa_type=Document)


class RecoveryRunRow(Row, table=True):
    """One drill or execution of a disaster-recovery plan."""

    __tablename__ = "dr_run"

    run_id: str = Field(primary_key=True)
    plan_id: str = Field(index=True)
    plan_name: str = Field(default="", sa_type=PrintableText)
    kind: str
    """"drill" or "execution"."""
    state: str = "running"
    """"running", "completed", "incomplete", "failed" or "cancelled"."""
    plan: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    """The plan as it was when the run began."""
    options: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    """What was asked for besides: the steps and files chosen for a drill."""
    started_at: datetime = Field(sa_type=Moment, index=True)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    rto_target: float | None = None
    """Seconds."""
    rpo_target: float | None = None
    rto: float | None = None
    """Seconds from the start until the last step was done and checked; None when it did not get there."""
    rpo: float | None = None
    """Seconds of work that would be lost: the age of the oldest backup used when the run began."""
    scratch: str = Field(default="", sa_type=PrintableText)
    """The directory that a drill made for itself, until it is removed."""
    error: str = Field(default="", sa_type=PrintableText)
    notes: list[str] = Field(default_factory=list, sa_type=Document)
    """Sentences for people, such as that a notification could not be delivered."""
    hostname: str = ""
    pid: int = 0


class RecoveryStepRow(Row, table=True):
    """One step of such a run."""

    __tablename__ = "dr_step"

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(index=True)
    position: int
    name: str
    configuration: str = Field(sa_type=PrintableText)
    state: str = "pending"
    """"pending", "running", "completed", "incomplete", "failed", "blocked" or "cancelled"."""
    stage: str = ""
    """The last stage that was begun: "before", "restore", "after" or "check"."""
    backup_id: str = Field(default="", sa_type=PrintableText)
    snapshot_id: str = ""
    target: str = Field(default="", sa_type=PrintableText)
    session_id: str = ""
    """The restore session that did the work."""
    started_at: datetime | None = Field(default=None, sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    seconds: float = 0.0
    """Spent on this step, without the time between a crash and its resumption."""
    restore_seconds: float = 0.0
    rpo: float | None = None
    """Seconds between the backup and the start of the run."""
    files_total: int = Field(default=0, sa_type=Bytes)
    files_restored: int = Field(default=0, sa_type=Bytes)
    bytes_restored: int = Field(default=0, sa_type=Bytes)
    lost: dict[str, str] = Field(default_factory=dict, sa_type=Document)
    """Path -> why it could not be restored."""
    acts: list[dict[str, Any]] = Field(default_factory=list, sa_type=Document)
    """Commands and checks, with what became of them."""
    error: str = Field(default="", sa_type=PrintableText)
