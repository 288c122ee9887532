"""How much room the backups take: now, over time, and what the next one will need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.results import BackupSummary
from backup_core.services.estimates import BackupEstimate, estimate_backup, of_rehearsal, stored_anew
from backup_core.services.listings import StorageUsage
from backup_core.services.storage_figures import storage_trend, storage_usage

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

__all__ = ["StorageManager", "StorageUsage"]


class StorageManager:
    """Figures from the catalogue; no server is asked."""

    def __init__(self, backup_service: BackupService) -> None:
        self._service = backup_service

    def get_storage_usage(self, config_name: str | None = None) -> StorageUsage:
        """What all backups take, or those of one configuration.

        ``total_size`` is what the pack files of the repositories took on the servers when each was last backed up into,
        with data that no listed backup needs any more. A repository that several configurations share is divided among
        them in proportion to what their listed backups added.
        """
        everything = self._service.catalogue.manifests.totals()
        repositories = {part.repository_id for part in everything}
        packs = {repository: self._service.known.stored_size(repository) for repository in repositories}
        return storage_usage(everything, packs, config_name)

    def get_storage_trend(self, config_name: str | None = None) -> list[dict[str, Any]]:
        """By month of local time, oldest first: month ("YYYY-MM"), count, size (stored bytes added), logical_size."""
        return storage_trend(self._service.catalogue.manifests.sizes_over_time(config_name))

    def estimate_space(self, config_name: str) -> dict[str, Any]:
        """What backing up the source as it is now would add. The source is walked and compared with the newest backup,
        a small sample of it is read, and nothing is stored.

        ``source_size`` (logical bytes), ``file_count``, ``estimated_full_backup_size`` (stored bytes of the source in a
        repository of its own), ``estimated_incremental_size`` (stored bytes that an incremental backup would add now),
        ``stored_ratio`` (stored bytes per logical byte of the source, in a repository of its own).
        """
        next_one = self._service.run(config_name, kind="incremental", dry_run=True)
        alone = stored_anew(self._service, config_name)
        return {
            "config_name": config_name,
            "source_size": next_one.total_size,
            "file_count": next_one.files,
            "estimated_full_backup_size": alone.stored_size,
            "estimated_incremental_size": next_one.stored_size,
            "stored_ratio": alone.stored_size / alone.total_size if alone.total_size else 1.0,
        }

    def estimate(
        self,
        config_name: str,
        *,
        kind: str | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> BackupEstimate:
        """What the next backup of a configuration will need of its account; see ``estimates``."""
        return estimate_backup(self._service, config_name, kind=kind, cancel=cancel, progress=progress)

    def of_rehearsal(self, config_name: str, rehearsal: BackupSummary) -> BackupEstimate:
        """What a dry run found out, and what that means for the account."""
        return of_rehearsal(self._service, config_name, rehearsal)
