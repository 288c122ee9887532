"""The table that says what became of snapshots which are no longer on their server."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field

from backup_core.catalogue.columns import Moment, PrintableText
from backup_core.catalogue.models import Row


class Fate(StrEnum):
    """Why a snapshot that existed is not there any more."""

    FORGOTTEN = "forgotten"
    """Somebody removed it through this program, which recorded that first."""
    VANISHED = "vanished"
    """It was gone one day, and nobody recorded removing it."""
    ACCEPTED = "accepted"
    """It had vanished, and a person said that this is right."""


class GoneSnapshotRow(Row, table=True):
    """A snapshot that was on a server once."""

    __tablename__ = "gone_snapshot"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText, index=True)
    created_at: datetime = Field(sa_type=Moment)
    fate: str = Field(index=True)
    """A value of ``Fate``."""
    at: datetime = Field(sa_type=Moment)
    """When it was removed, or when somebody noticed."""
    hostname: str = ""
    """The machine that removed it or noticed."""
    reason: str = Field(default="", sa_type=PrintableText)
    """Why it was removed, for people; "" when nobody said."""
