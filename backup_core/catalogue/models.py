"""The tables. Everything here can be lost without losing a backup; nothing here is a secret.

``client`` and ``configuration`` mirror what people set up; ``run`` and ``validation`` are history; ``manifest`` mirrors
the snapshots on the servers and is rebuilt from them; ``setting`` holds single values, such as when a repository was
last looked at. Tables that fewer commands use stand in modules of their own, because each takes its time to load.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText


class Row(SQLModel, registry=registry()):
    """Base of all tables, with metadata of its own: a program using this library may have a table "run" as well."""

    # Rows of tables are never validated, so what pydantic would need for that is made when somebody asks for it.
    model_config = {"defer_build": True}


class ClientRow(Row, table=True):
    """An account on a server."""

    __tablename__ = "client"

    name: str = Field(primary_key=True)
    record: dict[str, Any] = Field(sa_type=Document)
    """``config.models.ClientConfig.record()``: references, never secrets."""
    created_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)


class ConfigurationRow(Row, table=True):
    """A backup configuration."""

    __tablename__ = "configuration"

    name: str = Field(primary_key=True)
    client: str = Field(index=True)
    target_path: str
    record: dict[str, Any] = Field(sa_type=Document)
    """``config.models.BackupConfig.record()``."""
    created_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)


class RunRow(Row, table=True):
    """One backup run (or other kind of work) from its start on."""

    __tablename__ = "run"

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    """"backup", "cleanup", ..."""
    configuration: str = Field(index=True)
    backup_type: str = ""
    backup_id: str = ""
    snapshot_id: str = ""
    started_at: datetime = Field(sa_type=Moment, index=True)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    outcome: str = "running"
    """A value of ``results.Outcome``, or "running"."""
    error: str = Field(default="", sa_type=PrintableText)
    hostname: str = ""
    pid: int = 0
    figures: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    """Files new, changed, unchanged, bytes and so on, by the names of ``results.BackupSummary``."""
    requests: dict[str, int] = Field(default_factory=dict, sa_type=Document)
    """Requests by method."""
    seconds_by_stage: dict[str, float] = Field(default_factory=dict, sa_type=Document)
    problems: list[dict[str, str]] = Field(default_factory=list, sa_type=Document)


class ManifestRow(Row, table=True):
    """One snapshot of a known repository."""

    __tablename__ = "manifest"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText, index=True)
    configuration: str = Field(sa_type=PrintableText, index=True)
    """"" when another program made the snapshot."""
    backup_type: str
    created_at: datetime = Field(sa_type=Moment, index=True)
    files: int = Field(default=0, sa_type=Bytes)
    directories: int = Field(default=0, sa_type=Bytes)
    total_size: int = Field(default=0, sa_type=Bytes)
    """Logical bytes."""
    data_added: int = Field(default=0, sa_type=Bytes)
    """Plaintext bytes of blobs that were new."""
    stored_size: int = Field(default=0, sa_type=Bytes)
    """Stored bytes that were new."""
    parent: str = Field(default="", sa_type=PrintableText)
    hostname: str = Field(default="", sa_type=PrintableText)
    paths: list[str] = Field(default_factory=list, sa_type=Document)
    tags: list[str] = Field(default_factory=list, sa_type=Document, sa_column_kwargs={"server_default": "[]"})
    """Those that people gave, without the ones by which this program knows its snapshots."""
    encrypted: bool = True
    problems: int = 0


class ValidationRow(Row, table=True):
    """One validation of one backup."""

    __tablename__ = "validation"

    id: int | None = Field(default=None, primary_key=True)
    backup_id: str
    snapshot_id: str = Field(index=True)
    configuration: str = Field(index=True)
    depth: str
    started_at: datetime = Field(sa_type=Moment)
    seconds: float = 0.0
    is_valid: bool
    files_checked: int = Field(default=0, sa_type=Bytes)
    files_passed: int = Field(default=0, sa_type=Bytes)
    packs_checked: int = 0
    bytes_read: int = Field(default=0, sa_type=Bytes)
    errors: list[str] = Field(default_factory=list, sa_type=Document)
    warnings: list[str] = Field(default_factory=list, sa_type=Document)
    requests: dict[str, int] = Field(default_factory=dict, sa_type=Document)


class SettingRow(Row, table=True):
    """One value by name."""

    __tablename__ = "setting"

    key: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_type=Document)
