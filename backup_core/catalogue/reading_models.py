"""The tables of measurements over time: what configurations took on their servers, and how full accounts were."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Moment, PrintableText
from backup_core.catalogue.models import Row


class StorageReadingRow(Row, table=True):
    """What one configuration took after a run that changed its repository."""

    __tablename__ = "storage_reading"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Moment, index=True)
    configuration: str = Field(sa_type=PrintableText, index=True)
    repository_id: str = Field(index=True)
    stored_bytes: int = Field(default=0, sa_type=Bytes)
    """Stored bytes: the configuration's share of the repository's packs. The shares of all configurations of a
    repository, read at the same moment, add up to its packs to the byte."""
    kept_bytes: int = Field(default=0, sa_type=Bytes)
    """Logical bytes of all its backups that were kept then."""
    newest_bytes: int = Field(default=0, sa_type=Bytes)
    """Logical bytes of the newest of them."""
    backups: int = 0
    """How many were kept."""


class SpaceReadingRow(Row, table=True):
    """What a server said of an account's room."""

    __tablename__ = "space_reading"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Moment, index=True)
    client: str = Field(sa_type=PrintableText, index=True)
    used: int | None = Field(default=None, sa_type=Bytes)
    """Stored bytes of the whole account, with what is none of ours; None when the server does not say."""
    available: int | None = Field(default=None, sa_type=Bytes)
    """Bytes still free."""
