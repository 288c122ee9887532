"""Restores."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class RestoreSessionRow(Row):
    """One restore, with its live progress, so that any process can watch and stop it."""

    TABLE: ClassVar = "restore_session"
    KEY: ClassVar = ("session_id",)

    session_id: str
    configuration: str
    backup_id: str
    snapshot_id: str
    target: Printable
    options: dict[str, Any] = field(default_factory=dict)
    """Patterns, overwrite policy and so on."""
    plan_id: str = ""
    """The disaster-recovery plan it belongs to."""
    status: str = "pending"
    phase: str = ""
    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    rate: float = 0.0
    eta: float | None = None
    current_path: Printable = ""
    message: Printable = ""
    error: Printable = ""
    errors: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """What the restore did, by the names of ``results.RestoreSummary``."""
    cancel_requested: bool = False
    hostname: str = ""
    pid: int = 0
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
