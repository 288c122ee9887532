"""What the commands of retention hand out. Moments are naive and in local time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.services.records import BackupManifest

if TYPE_CHECKING:
    from backup_core.services.retention.pruning import PruneResult


@dataclass(frozen=True, slots=True)
class CleanupDecision:
    """What becomes of one backup, and why."""

    backup: BackupManifest
    keep: bool
    reasons: tuple[str, ...]
    """All of them."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A backup that stays whatever the rules say."""

    backup_id: str
    snapshot_id: str
    config_name: str
    reason: str
    pinned_at: datetime
    hold: str = ""
    """Snapshot id of the run whose hold made this pin, "" when a person did."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A run that looked like a disaster; until a person releases it, nothing of its configuration is forgotten."""

    backup_id: str
    """Of the backup that the run made."""
    snapshot_id: str
    config_name: str
    signs: tuple[str, ...]
    """A sentence for each thing that looked wrong."""
    begun_at: datetime
    good_backup_id: str = ""
    """The last backup before it that looked right, which is pinned; "" when there is none."""
    released_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """What a cleanup decided, and unless it was a dry run did."""

    config_name: str
    dry_run: bool
    decisions: tuple[CleanupDecision, ...]
    """On every backup of the configuration, newest first."""
    forgotten: tuple[BackupManifest, ...] = ()
    """Those that are gone now."""
    holds: tuple[Hold, ...] = ()
    """Why nothing may be forgotten at present (dry runs only; a real one is refused)."""
    pruned: PruneResult | None = None
    """What pruning did afterwards (or would do, as things are now), None when it was not asked for."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests by method, pruning included."""
    seconds: float = 0.0

    @property
    def kept(self) -> tuple[BackupManifest, ...]:
        """The backups that the rules keep."""
        return tuple(decision.backup for decision in self.decisions if decision.keep)

    @property
    def surplus(self) -> tuple[BackupManifest, ...]:
        """The backups that no rule keeps."""
        return tuple(decision.backup for decision in self.decisions if not decision.keep)
