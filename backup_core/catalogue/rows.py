"""What the catalogue keeps, as plain values: one class for each table, one object for each row.

The tables themselves are declared in ``models`` and its neighbours, which only making and migrating a catalogue needs;
tests hold that both say the same. ``client`` and ``configuration`` mirror what people set up; ``run`` and
``validation`` are history; ``setting`` holds single values, such as when a repository was last looked at. Everything
here can be lost without losing a backup; nothing here is a secret.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class ClientRow(Row):
    """An account on a server."""

    TABLE: ClassVar = "client"
    KEY: ClassVar = ("name",)

    name: str
    record: dict[str, Any]
    """``config.models.ClientConfig.record()``: references, never secrets."""
    created_at: datetime
    updated_at: datetime


@dataclass(kw_only=True)
class ConfigurationRow(Row):
    """A backup configuration."""

    TABLE: ClassVar = "configuration"
    KEY: ClassVar = ("name",)

    name: str
    client: str
    target_path: str
    record: dict[str, Any]
    """``config.models.BackupConfig.record()``."""
    created_at: datetime
    updated_at: datetime


@dataclass(kw_only=True)
class RunRow(Row):
    """One backup run (or other kind of work) from its start on."""

    TABLE: ClassVar = "run"
    KEY: ClassVar = ("id",)

    id: int | None = None
    kind: str
    """"backup", "cleanup", ..."""
    configuration: str
    backup_type: str = ""
    backup_id: str = ""
    snapshot_id: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str = "running"
    """A value of ``results.Outcome``, or "running"."""
    error: Printable = ""
    hostname: str = ""
    pid: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    """Files new, changed, unchanged, bytes and so on, by the names of ``results.BackupSummary``."""
    requests: dict[str, int] = field(default_factory=dict)
    """Requests by method."""
    seconds_by_stage: dict[str, float] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)


@dataclass(kw_only=True)
class ValidationRow(Row):
    """One validation of one backup."""

    TABLE: ClassVar = "validation"
    KEY: ClassVar = ("id",)

    id: int | None = None
    backup_id: str
    snapshot_id: str
    configuration: str
    depth: str
    started_at: datetime
    seconds: float = 0.0
    is_valid: bool
    files_checked: int = 0
    files_passed: int = 0
    packs_checked: int = 0
    bytes_read: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class SettingRow(Row):
    """One value by name."""

    TABLE: ClassVar = "setting"
    KEY: ClassVar = ("key",)

    key: str
    value: Any = None
