"""The tables of disaster recovery: plans, and every drill and every execution of a plan, step by step.

An execution is resumed from here, so a row says what was chosen (backup, target) before anything is done.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText
from backup_core.catalogue.models import Table


class PlanTable(Table, table=True):
    """``PlanRow`` as a table."""

    __tablename__ = "dr_plan"

    plan_id: str = Field(primary_key=True)
    name: str
    record: dict[str, Any] = Field(sa_type=Document)
    created_at: datetime = Field(sa_type=Moment)


class PlanEventTable(Table, table=True):
    """``PlanEventRow`` as a table."""

    __tablename__ = "dr_event"

    id: int | None = Field(default=None, primary_key=True)
    plan_id: str = Field(index=True)
    kind: str
    at: datetime = Field(sa_type=Moment)
    passed: bool
    report: dict[str, Any] = Field(default_factory=dict, sa_type=Document)


class RecoveryRunTable(Table, table=True):
    """``RecoveryRunRow`` as a table."""

    __tablename__ = "dr_run"

    run_id: str = Field(primary_key=True)
    plan_id: str = Field(index=True)
    plan_name: str = Field(default="", sa_type=PrintableText)
    kind: str
    state: str = "running"
    plan: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    options: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    started_at: datetime = Field(sa_type=Moment, index=True)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    rto_target: float | None = None
    rpo_target: float | None = None
    rto: float | None = None
    rpo: float | None = None
    scratch: str = Field(default="", sa_type=PrintableText)
    error: str = Field(default="", sa_type=PrintableText)
    notes: list[str] = Field(default_factory=list, sa_type=Document)
    hostname: str = ""
    pid: int = 0


class RecoveryStepTable(Table, table=True):
    """``RecoveryStepRow`` as a table."""

    __tablename__ = "dr_step"

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(index=True)
    position: int
    name: str
    configuration: str = Field(sa_type=PrintableText)
    state: str = "pending"
    stage: str = ""
    backup_id: str = Field(default="", sa_type=PrintableText)
    snapshot_id: str = ""
    target: str = Field(default="", sa_type=PrintableText)
    session_id: str = ""
    started_at: datetime | None = Field(default=None, sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    seconds: float = 0.0
    restore_seconds: float = 0.0
    rpo: float | None = None
    files_total: int = Field(default=0, sa_type=Bytes)
    files_restored: int = Field(default=0, sa_type=Bytes)
    bytes_restored: int = Field(default=0, sa_type=Bytes)
    lost: dict[str, str] = Field(default_factory=dict, sa_type=Document)
    acts: list[dict[str, Any]] = Field(default_factory=list, sa_type=Document)
    error: str = Field(default="", sa_type=PrintableText)
