"""What became of snapshots which are no longer on their server."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


class Fate(StrEnum):
    """Why a snapshot that existed is not there any more."""

    FORGOTTEN = "forgotten"
    """Somebody removed it through this program, which recorded that first."""
    VANISHED = "vanished"
    """It was gone one day, and nobody recorded removing it."""
    ACCEPTED = "accepted"
    """It had vanished, and a person said that this is right."""


@dataclass(kw_only=True)
class GoneSnapshotRow(Row):
    """A snapshot that was on a server once."""

    TABLE: ClassVar = "gone_snapshot"
    KEY: ClassVar = ("snapshot_id",)

    snapshot_id: str
    repository_id: str
    backup_id: Printable
    configuration: Printable
    created_at: datetime
    fate: str
    """A value of ``Fate``."""
    at: datetime
    """When it was removed, or when somebody noticed."""
    hostname: str = ""
    """The machine that removed it or noticed."""
    reason: Printable = ""
    """Why it was removed, for people; "" when nobody said."""
