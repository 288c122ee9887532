"""The tables of what stays: backups that people pinned, and runs that looked wrong."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from backup_core.catalogue.columns import Document, Moment, PrintableText
from backup_core.catalogue.models import Table


class PinTable(Table, table=True):
    """``PinRow`` as a table."""

    __tablename__ = "pin"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText)
    reason: str = Field(default="", sa_type=PrintableText)
    hold: str = ""
    pinned_at: datetime = Field(sa_type=Moment)


class HoldTable(Table, table=True):
    """``HoldRow`` as a table."""

    __tablename__ = "hold"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText, index=True)
    good_snapshot_id: str = ""
    good_backup_id: str = Field(default="", sa_type=PrintableText)
    signs: list[dict[str, str]] = Field(default_factory=list, sa_type=Document)
    begun_at: datetime = Field(sa_type=Moment)
    released_at: datetime | None = Field(default=None, sa_type=Moment)
    note: str = Field(default="", sa_type=PrintableText)
