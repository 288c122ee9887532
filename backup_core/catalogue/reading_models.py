"""The tables of measurements over time: what configurations took on their servers, and how full accounts were."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Moment, PrintableText
from backup_core.catalogue.models import Table


class StorageReadingTable(Table, table=True):
    """``StorageReadingRow`` as a table."""

    __tablename__ = "storage_reading"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Moment, index=True)
    configuration: str = Field(sa_type=PrintableText, index=True)
    repository_id: str = Field(index=True)
    stored_bytes: int = Field(default=0, sa_type=Bytes)
    kept_bytes: int = Field(default=0, sa_type=Bytes)
    newest_bytes: int = Field(default=0, sa_type=Bytes)
    backups: int = 0


class SpaceReadingTable(Table, table=True):
    """``SpaceReadingRow`` as a table."""

    __tablename__ = "space_reading"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Moment, index=True)
    client: str = Field(sa_type=PrintableText, index=True)
    used: int | None = Field(default=None, sa_type=Bytes)
    available: int | None = Field(default=None, sa_type=Bytes)
