"""Measurements over time: what configurations took on their servers, and how full accounts were."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class StorageReadingRow(Row):
    """What one configuration took after a run that changed its repository."""

    TABLE: ClassVar = "storage_reading"
    KEY: ClassVar = ("id",)

    id: int | None = None
    at: datetime
    configuration: Printable
    repository_id: str
    stored_bytes: int = 0
    """Stored bytes: the configuration's share of the repository's packs. The shares of all configurations of a
    repository, read at the same moment, add up to its packs to the byte."""
    kept_bytes: int = 0
    """Logical bytes of all its backups that were kept then."""
    newest_bytes: int = 0
    """Logical bytes of the newest of them."""
    backups: int = 0
    """How many were kept."""


@dataclass(kw_only=True)
class SpaceReadingRow(Row):
    """What a server said of an account's room."""

    TABLE: ClassVar = "space_reading"
    KEY: ClassVar = ("id",)

    id: int | None = None
    at: datetime
    client: Printable
    used: int | None = None
    """Stored bytes of the whole account, with what is none of ours; None when the server does not say."""
    available: int | None = None
    """Bytes still free."""
