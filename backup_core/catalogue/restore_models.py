"""The table of restores."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText
from backup_core.catalogue.models import Table


class RestoreSessionTable(Table, table=True):
    """``RestoreSessionRow`` as a table."""

    __tablename__ = "restore_session"

    session_id: str = Field(primary_key=True)
    configuration: str = Field(index=True)
    backup_id: str
    snapshot_id: str
    target: str = Field(sa_type=PrintableText)
    options: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    plan_id: str = Field(default="", index=True)
    status: str = "pending"
    phase: str = ""
    files_total: int = Field(default=0, sa_type=Bytes)
    files_done: int = Field(default=0, sa_type=Bytes)
    bytes_total: int = Field(default=0, sa_type=Bytes)
    bytes_done: int = Field(default=0, sa_type=Bytes)
    rate: float = 0.0
    eta: float | None = None
    current_path: str = Field(default="", sa_type=PrintableText)
    message: str = Field(default="", sa_type=PrintableText)
    error: str = Field(default="", sa_type=PrintableText)
    errors: list[str] = Field(default_factory=list, sa_type=Document)
    figures: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    cancel_requested: bool = False
    hostname: str = ""
    pid: int = 0
    started_at: datetime = Field(sa_type=Moment, index=True)
    updated_at: datetime = Field(sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
