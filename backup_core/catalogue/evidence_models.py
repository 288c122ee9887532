"""The table that says what became of snapshots which are no longer on their server."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from backup_core.catalogue.columns import Moment, PrintableText
from backup_core.catalogue.models import Table


class GoneSnapshotTable(Table, table=True):
    """``GoneSnapshotRow`` as a table."""

    __tablename__ = "gone_snapshot"

    snapshot_id: str = Field(primary_key=True)
    repository_id: str = Field(index=True)
    backup_id: str = Field(sa_type=PrintableText)
    configuration: str = Field(sa_type=PrintableText, index=True)
    created_at: datetime = Field(sa_type=Moment)
    fate: str = Field(index=True)
    at: datetime = Field(sa_type=Moment)
    hostname: str = ""
    reason: str = Field(default="", sa_type=PrintableText)
