"""What the services hand out of recoveries: points, previews, progress, plans (see ``records``)."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from backup_core.deferred import dataclass


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
