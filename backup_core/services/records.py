"""What the services hand out: backups and the repositories that they lie in.

Apart from them, because what a command does not need takes its time to load all the same, stand ``listings`` (files,
runs, usage), ``findings`` (validations, measurements) and ``recovery_records``.

Moments in all of them are naive and in local time, as ``datetime.now()`` is, so that callers may subtract the two;
``moments`` turns them into the aware ones that the lower storeys use. Every size is in bytes and says which of two it
is: *logical* (what a restore writes) or *stored* (what lies on the server).
"""

from __future__ import annotations

from datetime import datetime

from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """One backup as the catalogue knows it."""

    backup_id: str
    """``<configuration>_<YYYYMMDD>_<HHMMSS>``; the first 8 digits of the snapshot id when another program made it."""
    config_name: str
    """"" when another program made the backup."""
    backup_type: str
    """"full" or "incremental": what was really done."""
    created_at: datetime
    """Naive local time at which the backup began."""
    total_size: int
    """Logical bytes of all files."""
    stored_size: int
    """Stored bytes that this backup added."""
    file_count: int
    """Files of any kind but directories."""
    snapshot_id: str
    """64 hex digits."""
    parent: str = ""
    """Snapshot id of the backup it was compared with, or ""."""
    hostname: str = ""
    paths: tuple[str, ...] = ()
    """What was backed up."""
    tags: tuple[str, ...] = ()
    """Given by people, to find a backup again or to keep it."""
    encrypted: bool = True
    problems: int = 0
    """How many things went wrong; see the run for what."""
    validated_at: datetime | None = None
    """When it was last found whole, naive local time."""


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """A repository that was opened or created."""

    location: str
    repository_id: str
    """64 hex digits."""
    version: int
    encrypted: bool
    created: bool
    """True when it was made by this call."""
    key_source: str = ""
    """Where the key comes from: "env:DAVAULT_KEY", "file:...", ...; never the key."""
    notes: tuple[str, ...] = ()
    """Sentences for people, such as where a new key lies and that it must be kept safe."""
