"""What the services hand out: backups, validations, recovery points, progress, usage, findings.

Moments are naive and in local time, as ``datetime.now()`` is, so that callers may subtract the two; ``moments`` turns
them into the aware ones that the lower storeys use. Every size is in bytes and says which of two it is:
*logical* (what a restore writes) or *stored* (what lies on the server).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from backup_core.results import Problem


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
class BackupValidationResult:
    """What checking one backup found."""

    backup_id: str
    is_valid: bool
    files_checked: int
    files_passed: int
    errors: tuple[str, ...]
    """A sentence for each damaged or missing thing, naming the file and the object behind it."""
    warnings: tuple[str, ...] = ()
    depth: str = "quick"
    """"quick" (everything is there), "data" (and its content is right) or "restore" (really restored, compared)."""
    validated_at: datetime | None = None
    """Naive local time."""
    packs_checked: int = 0
    bytes_read: int = 0
    """Stored bytes that were downloaded and verified."""
    damaged_files: Mapping[str, str] = field(default_factory=dict)
    """Path -> why."""
    seconds: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests by method, of the whole validation when several backups were checked together."""


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A moment that can be gone back to."""

    backup_id: str
    config_name: str
    created_at: datetime
    """Naive local time."""
    backup_type: str
    total_size: int
    """Logical bytes."""
    file_count: int
    snapshot_id: str = ""
    validated_at: datetime | None = None


class RecoveryStatus(Enum):
    """The states of a restore; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """True when nothing more will happen."""
        return self in (RecoveryStatus.COMPLETED, RecoveryStatus.FAILED, RecoveryStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class RestorePreview:
    """What a restore would do."""

    backup_id: str
    snapshot_id: str
    target: str
    files_total: int
    """Entries selected."""
    creates: int
    replaces: int
    keeps: int
    """Entries that are there already and stay."""
    deletes: int
    bytes_to_write: int
    """Logical bytes."""
    bytes_to_download: int
    """Stored bytes."""
    packs: int
    """Pack files to read from."""
    notes: tuple[str, ...] = ()
    created_at: datetime | None = None
    """When the backup began, naive local time."""
    requests: int = 0
    """Requests for packs."""
    space_needed: int = 0
    """Bytes that the target's file system must have free."""
    space_free: int = 0
    """Bytes that it has free."""
    changes: tuple[tuple[str, str], ...] = ()
    """("create", "replace", "update" or "delete", printable path below the target) of the first thousand."""


@dataclass(frozen=True, slots=True)
class RecoveryProgress:
    """How far a restore is; the same from every process."""

    session_id: str
    backup_id: str
    config_name: str
    target_path: str
    status: RecoveryStatus
    phase: str = ""
    total_files: int = 0
    processed_files: int = 0
    total_size: int = 0
    """Logical bytes to be written; 0 while unknown, or when everything is there already."""
    processed_size: int = 0
    """Logical bytes written."""
    rate: float = 0.0
    """Logical bytes a second."""
    eta: float | None = None
    """Seconds left, None while unknown."""
    current_file: str = ""
    message: str = ""
    error: str = ""
    """Why it failed."""
    errors: tuple[str, ...] = ()
    """A sentence for each thing that could not be restored as it was."""
    started_at: datetime | None = None
    """Naive local time."""
    ended_at: datetime | None = None

    @property
    def percent(self) -> float:
        """0 to 100, by bytes when they are known, else by files."""
        if self.status is RecoveryStatus.COMPLETED:
            return 100.0
        if self.total_size:
            return min(100.0, 100.0 * self.processed_size / self.total_size)
        return min(100.0, 100.0 * self.processed_files / self.total_files) if self.total_files else 0.0


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
class DisasterRecoveryPlan:
    """Which configurations to restore after a disaster, in which order, and where to."""

    plan_id: str
    name: str
    recovery_order: tuple[str, ...]
    """Names of configurations, first one first."""
    target_base_path: str
    """Each configuration is restored into a directory of its name below this one."""
    description: str = ""
    auto_verify: bool = True
    """Read everything back from disk after it was written."""
    notification_email: str = ""
    created_at: datetime | None = None
    """Naive local time."""
    last_tested_at: datetime | None = None
    last_drilled_at: datetime | None = None
    steps: tuple[str, ...] = ()
    """Names of the steps; of a plan made from a recovery order, those of its configurations."""
    on_failure: str = "continue"
    """"stop" or "continue"."""
    rto: float | None = None
    """Seconds within which everything must be back."""
    rpo: float | None = None
    """Seconds of work that may be lost at most."""


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


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a first conversation with a client's server showed."""

    client: str
    location: str
    reachable: bool
    seconds: float
    """Of the first answer."""
    error: str = ""
    used: int | None = None
    """Stored bytes of the account as the server counts them, None when it does not say."""
    available: int | None = None
    """Bytes still free, None when the server does not say."""
    checks: Mapping[str, str] = field(default_factory=dict)
    """Name of a check -> "ok" or what is wrong."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What measuring a client's server found out."""

    client: str
    location: str
    measured_at: datetime
    score: int
    """0 to 100."""
    findings: tuple[tuple[str, str, str], ...]
    """(check, "good", "fair", "poor" or "unknown", what was seen)."""
    numbers: Mapping[str, Any]
    """As ``storage.probe_report.ProbeReport`` names them."""


class FindingLevel(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``."""

    level: FindingLevel
    subject: str
    """What was looked at: "home", "catalogue", "client cloud", "configuration 重要文档", ..."""
    message: str
    advice: str = ""
    """What to do; "" when nothing."""


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
