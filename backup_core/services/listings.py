"""What the services hand out of what is kept: files in backups, runs of the past, usage (see ``records``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from backup_core.deferred import dataclass
from backup_core.results import Problem


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of a backup."""

    path: str
    """Absolute path at the time of the backup, printable."""
    type: str
    """"file", "dir", "symlink", "fifo", ..."""
    size: int
    """Logical bytes."""
    mode: int
    """Permission and type bits as ``os.stat`` gives them."""
    modified_at: datetime
    """Naive local time."""
    link_target: str = ""


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """What all backups take, from the catalogue."""

    total_backups: int
    total_size: int
    """Stored bytes of the repositories' packs, as of each one's last backup."""
    oldest_backup: datetime | None
    """Naive local time."""
    newest_backup: datetime | None
    by_config: Mapping[str, Mapping[str, Any]]
    """Configuration -> count, total_size (stored), logical_size, oldest_backup, newest_backup,
    backup_types {"full": n, "incremental": n}."""
    logical_size: int = 0
    """Logical bytes of all backups together."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of the past, or one still going on."""

    run_id: int
    kind: str
    """"backup", "cleanup", "prune", "mirror"."""
    config_name: str
    started_at: datetime
    """Naive local time."""
    ended_at: datetime | None
    outcome: str
    """A value of ``results.Outcome``, "running", or "interrupted"."""
    backup_id: str = ""
    backup_type: str = ""
    error: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Counts and sizes of the run by name."""
    requests: Mapping[str, int] = field(default_factory=dict)
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
