"""The backup half of the public face: configurations, backups, validation, storage, schedule."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup_core.clock import Clock
from backup_core.config.home import Home
from backup_core.errors import BackupExecutionError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.results import Problem
from backup_core.services.backup_service import BackupService
from backup_core.services.findings import BackupValidationResult
from backup_core.services.listings import StorageUsage
from backup_core.services.records import BackupManifest
from backup_core.services.scheduler import Scheduler
from backup_core.services.storage_figures import statistics
from backup_core.services.storage_manager import StorageManager
from backup_core.services.webdav_service import WebDAVService

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.config.rhythm import Kind
    from backup_core.services.backup_validator import BackupValidator
    from backup_core.services.retention.records import CleanupDecision
    from backup_core.services.retention.retention import Retention

__all__ = [
    "BackupExecutionError",
    "BackupManager",
    "BackupManifest",
    "BackupValidationResult",
    "StorageUsage",
    "create_backup_manager",
]


def create_backup_manager(
    webdav_service: WebDAVService,
    metadata_db_path: str | Path | None = None,
    *,
    home: Home | None = None,
    clock: Clock | None = None,
) -> BackupManager:
    """A manager whose catalogue lies at ``metadata_db_path`` (a path or an SQLAlchemy URL; by default in the home).

    Keys and caches are in the home, that of ``DAVAULT_HOME`` unless another is given. Raises ``CatalogueError`` or
    ``ConfigError``.
    """
    return BackupManager(BackupService(webdav_service, metadata_db_path, home=home, clock=clock))


class BackupManager:
    """Everything about making and keeping backups."""

    def __init__(self, backup_service: BackupService) -> None:
        self.backup_service = backup_service
        self.storage_manager = StorageManager(backup_service)
        self._scheduler = Scheduler(backup_service, self._scheduled)

    @cached_property
    def validator(self) -> BackupValidator:
        """Checks backups."""
        from backup_core.services.backup_validator import BackupValidator

        return BackupValidator(self.backup_service)

    @cached_property
    def retention(self) -> Retention:
        """Cleanups, pins and holds."""
        from backup_core.services.retention.retention import Retention

        return Retention(self.backup_service)

    # ---- configurations

    def add_config(self, config: BackupConfig) -> bool:
        """Add or replace a configuration; True. Raises ``ConfigError`` when its client is unknown or a pattern is
        broken. Nothing is sent to a server."""
        self.backup_service.configurations.add(config, replace=True)
        return True

    def remove_config(self, config_name: str) -> bool:
        """Forget a configuration; False when it was unknown. Its backups stay on the server."""
        if self.get_config(config_name) is None:
            return False
        self.backup_service.configurations.remove(config_name)
        return True

    def get_config(self, config_name: str) -> BackupConfig | None:
        """One configuration, None when there is none of this name."""
        return self.backup_service.configurations.find(config_name)

    def list_configs(self) -> list[str]:
        """Names of all configurations, sorted."""
        return self.backup_service.configurations.names()

    # ---- backups

    def manual_backup(
        self,
        config_name: str,
        backup_type: str | None = None,
        *,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> str:
        """Back up now, in the calling thread; the new backup's id.

        ``backup_type`` is "full" (every source byte is read again, and everything is proved to be on the server) or
        "incremental" (unchanged files are not opened); None takes the configuration's default. The first incremental
        becomes a full one. Files that could not be read do not fail the backup; the run records them as problems.

        Raises ``BackupExecutionError`` (the cause is chained; ``transient`` says whether trying again can help),
        ``LockHeld`` when the configuration is being backed up already, ``ConfigError``, ``Cancelled``.
        """
        summary = self.backup_service.run(config_name, kind=backup_type, cancel=cancel, progress=progress)
        return summary.backup_id

    def start_scheduler(self) -> None:
        """Run every configuration daily at its ``schedule_time``, in a thread, until ``stop_scheduler``. A run that was
        missed is made up for once; a job that fails does not stop the others."""
        self._scheduler.start()

    def stop_scheduler(self) -> None:
        """Stop the thread; a backup under way is cancelled, and the next one reuses what it stored."""
        self._scheduler.stop()

    # ---- validation

    def validate_backup(self, backup_id: str, depth: str = "quick") -> BackupValidationResult:
        """Check one backup. "quick" proves that everything it needs is on the server with the right size; "data" also
        downloads and verifies every byte of it; "restore" restores it into a scratch directory and compares.

        Raises ``ConfigError`` when there is no such backup, and what opening the repository raises.
        """
        return self.validator.validate_backup(backup_id, depth=depth)

    def validate_all_backups(
        self, config_name: str | None = None, depth: str = "quick"
    ) -> list[BackupValidationResult]:
        """Check all backups of a configuration, or all there are, newest first."""
        return self.validator.validate_all(config_name, depth=depth)

    # ---- storage

    def get_storage_usage(self) -> StorageUsage:
        """How much room the backups take, from the catalogue; see the fields of ``StorageUsage``."""
        return self.storage_manager.get_storage_usage()

    def estimate_space(self, config_name: str) -> dict[str, Any]:
        """What backing up the source as it is now would add: source_size (logical bytes), estimated_full_backup_size
        and estimated_incremental_size (stored bytes), and how they were found."""
        return self.storage_manager.estimate_space(config_name)

    def plan_cleanup(
        self, config_name: str, keep_count: int | None = None, keep_days: int | None = None
    ) -> list[CleanupDecision]:
        """What ``cleanup_old_backups`` would do, and why, newest first; nothing is removed."""
        from backup_core.services.retention.policy import KeepRules

        return list(self.retention.plan(config_name, KeepRules(count=keep_count, days=keep_days)).decisions)

    def cleanup_old_backups(self, config_name: str, keep_count: int | None = None, keep_days: int | None = None) -> int:
        """Forget old backups of a configuration; how many were forgotten.

        A backup stays if it is one of the newest ``keep_count``, or at most ``keep_days`` older than the newest; the
        newest and the newest validated one always stay, and so do those that are pinned. Without either, the rules of
        the configuration count: ``max_versions`` and the ``keep_`` fields. This takes backups off the list of what can
        be restored; the space of data that no other backup needs is given back by ``Application.prune``.

        Raises ``ConfigError`` (no rule, a number below 1), ``CleanupHeld``, ``ListingUnproved``, ``LockHeld``.
        """
        from backup_core.services.retention.policy import KeepRules

        return len(self.retention.cleanup(config_name, KeepRules(count=keep_count, days=keep_days)).forgotten)

    # ---- what there is

    def list_backups(self, config_name: str | None = None) -> list[BackupManifest]:
        """The backups of a configuration, or of all, newest first."""
        return self.backup_service.manifests(config_name)

    def listing_problems(self, config_name: str | None = None) -> list[Problem]:
        """What could not be listed when the servers were last asked by this object: repositories and snapshots."""
        return self.backup_service.known.unreadable(config_name)

    def get_backup_manifest(self, backup_id: str) -> BackupManifest | None:
        """One backup, None when there is none of this id."""
        try:
            return self.backup_service.manifest(backup_id)
        except ConfigError:
            return None

    def get_statistics(self, config_name: str | None = None) -> dict[str, Any]:
        """Figures about the backups of a configuration, or of all.

        ``backup_stats``: total_backups, total_size (stored bytes added), logical_size, last_backup (ISO, naive local
        time, None when there is none), last_backup_id, backup_types {full, incremental}, runs (recorded),
        failed_runs. ``storage_usage``: total_size, logical_size, oldest_backup, newest_backup, and storage_trend, a
        list by month with month, count, size (stored bytes added), logical_size. ``config_name`` as given.
        """
        backups = self.list_backups(config_name)
        return statistics(
            config_name,
            self.storage_manager.get_storage_usage(config_name),
            newest=(backups[0].backup_id, backups[0].created_at) if backups else None,
            outcomes=self.backup_service.catalogue.history.outcomes(config_name, kind="backup"),
            trend=self.storage_manager.get_storage_trend(config_name),
        )

    # ---- inside

    def _scheduled(self, config: BackupConfig, kind: Kind, cancel: CancelToken) -> None:
        self.backup_service.run(config.name, kind=kind, cancel=cancel)
