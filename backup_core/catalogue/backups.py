"""What the catalogue knows as plain values, which are made and read in no time where there are thousands."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBackup(Row):
    """One snapshot of a known repository: the mirror of those on the servers, from which it is rebuilt."""

    TABLE: ClassVar = "manifest"
    KEY: ClassVar = ("snapshot_id",)

    snapshot_id: str
    repository_id: str
    backup_id: Printable
    configuration: Printable
    """"" when another program made the snapshot."""
    backup_type: str
    created_at: datetime
    """Aware."""
    files: int = 0
    directories: int = 0
    total_size: int = 0
    """Logical bytes."""
    data_added: int = 0
    """Plaintext bytes of blobs that were new."""
    stored_size: int = 0
    """Stored bytes that were new."""
    parent: Printable = ""
    hostname: Printable = ""
    paths: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    """Those that people gave, without the ones by which this program knows its snapshots."""
    encrypted: bool = True
    problems: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the backups of one repository, configuration and type."""

    repository_id: str
    configuration: str
    backup_type: str
    count: int
    total_size: int
    """Logical bytes."""
    data_added: int
    """Plaintext bytes."""
    stored_size: int
    """Stored bytes."""
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class KnownSpace:
    """What a server said last of an account's room."""

    client: str
    used: int | None
    """Stored bytes of the whole account, with what is none of ours; None when the server does not say."""
    available: int | None
    """Bytes still free."""
    at: datetime
    """Aware."""
