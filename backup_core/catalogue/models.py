"""The tables, as SQLModel declares them: for making and migrating a catalogue.

What their columns mean stands at the rows (``rows`` and its neighbours), by which all reading and writing is done.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText


class Table(SQLModel, registry=registry()):
    """Base of all tables, with metadata of its own: a program using this library may have a table "run" as well."""

    # Nothing is ever validated by them, so what pydantic would need for that is not made.
    model_config = {"defer_build": True}


class ClientTable(Table, table=True):
    """``ClientRow`` as a table."""

    __tablename__ = "client"

    name: str = Field(primary_key=True)
    record: dict[str, Any] = Field(sa_type=Document)
    created_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)


class ConfigurationTable(Table, table=True):
    """``ConfigurationRow`` as a table."""

    __tablename__ = "configuration"

    name: str = Field(primary_key=True)
    client: str = Field(index=True)
    target_path: str
    record: dict[str, Any] = Field(sa_type=Document)
    created_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)


class RunTable(Table, table=True):
    """``RunRow`` as a table."""

    __tablename__ = "run"

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    configuration: str = Field(index=True)
    backup_type: str = ""
    backup_id: str = ""
    snapshot_id: str = ""
    started_at: datetime = Field(sa_type=Moment, index=True)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    outcome: str = "running"
    error: str = Field(default="", sa_type=PrintableText)
    hostname: str = ""
    pid: int = 0
    figures: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    requests: dict[str, int] = Field(default_factory=dict, sa_type=Document)
    seconds_by_stage: dict[str, float] = Field(default_factory=dict, sa_type=Document)
    problems: list[dict[str, str]] = Field(default_factory=list, sa_type=Document)


class ManifestTable(Table, table=True):
    """``backups.KnownBackup`` as a table."""

    __tablename__ = "manifest"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText, index=True)
    configuration: str = Field(sa_type=PrintableText, index=True)
    backup_type: str
    created_at: datetime = Field(sa_type=Moment, index=True)
    files: int = Field(default=0, sa_type=Bytes)
    directories: int = Field(default=0, sa_type=Bytes)
    total_size: int = Field(default=0, sa_type=Bytes)
    data_added: int = Field(default=0, sa_type=Bytes)
    stored_size: int = Field(default=0, sa_type=Bytes)
    parent: str = Field(default="", sa_type=PrintableText)
    hostname: str = Field(default="", sa_type=PrintableText)
    paths: list[str] = Field(default_factory=list, sa_type=Document)
    tags: list[str] = Field(default_factory=list, sa_type=Document, sa_column_kwargs={"server_default": "[]"})
    encrypted: bool = True
    problems: int = 0


class ValidationTable(Table, table=True):
    """``ValidationRow`` as a table."""

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


class SettingTable(Table, table=True):
    """``SettingRow`` as a table."""

    __tablename__ = "setting"

    key: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_type=Document)
