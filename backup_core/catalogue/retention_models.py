"""The tables of what stays: backups that people pinned, and runs that looked wrong."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from backup_core.catalogue.columns import Document, Moment, PrintableText
from backup_core.catalogue.models import Row


class PinRow(Row, table=True):
    """A backup that stays whatever the rules say."""

    __tablename__ = "pin"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText)
    reason: str = Field(default="", sa_type=PrintableText)
    hold: str = ""
    """Snapshot id of the run whose hold made this pin, "" when a person did."""
    pinned_at: datetime = Field(sa_type=Moment)


class HoldRow(Row, table=True):
    """A run that looked like a disaster. Until it is released, nothing of its configuration is forgotten."""

    __tablename__ = "hold"

    snapshot_id: str = Field(primary_key=True)
    """Of the backup that the run made."""
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText, index=True)
    good_snapshot_id: str = ""
    """The last backup before it that looked right, "" when there is none."""
    good_backup_id: str = Field(default="", sa_type=PrintableText)
    signs: list[dict[str, str]] = Field(default_factory=list, sa_type=Document)
    """``engine.anomaly.Sign`` as plain values."""
    begun_at: datetime = Field(sa_type=Moment)
    released_at: datetime | None = Field(default=None, sa_type=Moment)
    note: str = Field(default="", sa_type=PrintableText)
    """What the person who released it had to say."""
