"""What stays: backups that people pinned, and runs that looked wrong."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class PinRow(Row):
    """A backup that stays whatever the rules say."""

    TABLE: ClassVar = "pin"
    KEY: ClassVar = ("snapshot_id",)

    snapshot_id: str
    repository_id: str
    backup_id: Printable
    configuration: Printable
    reason: Printable = ""
    hold: str = ""
    """Snapshot id of the run whose hold made this pin, "" when a person did."""
    pinned_at: datetime


@dataclass(kw_only=True)
class HoldRow(Row):
    """A run that looked like a disaster. Until it is released, nothing of its configuration is forgotten."""

    TABLE: ClassVar = "hold"
    KEY: ClassVar = ("snapshot_id",)

    snapshot_id: str
    """Of the backup that the run made."""
    repository_id: str
    backup_id: Printable
    configuration: Printable
    good_snapshot_id: str = ""
    """The last backup before it that looked right, "" when there is none."""
    good_backup_id: Printable = ""
    signs: list[dict[str, str]] = field(default_factory=list)
    """``engine.anomaly.Sign`` as plain values."""
    begun_at: datetime
    released_at: datetime | None = None
    note: Printable = ""
    """What the person who released it had to say."""
