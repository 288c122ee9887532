"""What looking into backups finds, as people see it. Moments are naive local time, sizes logical bytes unless said."""

from __future__ import annotations

from datetime import datetime

from backup_core.deferred import dataclass
from backup_core.results import Problem
from backup_core.services.listings import FileEntry
from backup_core.services.records import BackupManifest


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One version of an entry whose name matches, and which backups hold it."""

    entry: FileEntry
    config_name: str
    """"" when another program made the backups."""
    backups: int
    """How many hold this version."""
    first_backup: str
    """Backup id of the oldest that does."""
    last_backup: str
    """Backup id of the newest that does; restore from here."""
    last_backup_at: datetime


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer of a search."""

    files: tuple[FoundFile, ...]
    """By path, then by age."""
    backups: int
    """How many were looked through."""
    problems: tuple[Problem, ...] = ()
    """Directories that could not be looked into, so that something may be missing above."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs between two backups."""

    mark: str
    """"+" added, "-" removed, "M" other content, "U" only metadata, "T" another type."""
    path: str
    type: str
    """Of the entry as it is in the second backup, or as it was in the first."""
    size_before: int | None
    """None where there is no such entry."""
    size_after: int | None


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Entries that only one of two backups has."""

    files: int
    directories: int
    others: int
    """Links, pipes, devices."""
    size: int


@dataclass(frozen=True, slots=True)
class BackupDifference:
    """The answer of a comparison; ``before`` and ``after`` as they were named, whichever is older."""

    before: BackupManifest
    after: BackupManifest
    changes: tuple[FileChange, ...]
    """By path, metadata-only ones included."""
    added: SideCounts
    removed: SideCounts
    content_changed: int
    metadata_changed: int
    type_changed: int
    new_data: int
    """Plaintext bytes of content that only the second has, among all that changed. Renaming adds none."""
    new_stored: int
    """The same as stored bytes."""
    gone_data: int
    """Plaintext bytes of content that only the first has, among all that changed."""
    gone_stored: int
    """The same as stored bytes; other backups may still need them."""


@dataclass(frozen=True, slots=True)
class PathVersion:
    """A path as it stood in one or more backups in a row."""

    change: str
    """"added", "changed", "metadata", "type" or "removed", against the version before."""
    entry: FileEntry | None
    """None where the path was gone."""
    size_change: int
    """Bytes more (or less) than in the version before."""
    content: str
    """Begins of the hashes of the content's pieces, together one short mark; equal marks are equal content. "" for
    what has no content."""
    backups: int
    first_backup: str
    last_backup: str
    first_backup_at: datetime
    last_backup_at: datetime


@dataclass(frozen=True, slots=True)
class PathHistory:
    """The versions of a path in the backups of one configuration, oldest first."""

    config_name: str
    path: str
    versions: tuple[PathVersion, ...]
