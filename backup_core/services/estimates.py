"""What a backup will need, before it runs: bytes, requests, windows, and when it will be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.results import BackupSummary, PlannedCost
from backup_core.services.accounts.forecast import AccountForecast

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService


@dataclass(frozen=True, slots=True)
class BackupEstimate:
    """What one backup would need."""

    rehearsal: BackupSummary
    planned: PlannedCost
    forecast: AccountForecast
    """What that means for the account it goes to."""


def estimate_backup(
    service: BackupService,
    config_name: str,
    *,
    kind: str | None = None,
    cancel: CancelToken | None = None,
    progress: ProgressSink = no_progress,
) -> BackupEstimate:
    """Rehearse a backup, read a sample of what it would read, and reckon. Raises what a backup raises."""
    rehearsal = service.run(config_name, kind=kind, dry_run=True, cancel=cancel, progress=progress)
    return of_rehearsal(service, config_name, rehearsal)


def of_rehearsal(service: BackupService, config_name: str, rehearsal: BackupSummary) -> BackupEstimate:
    """The estimate that a dry run amounts to."""
    if rehearsal.planned is None:
        raise ConfigError("only a dry run can be estimated")
    webdav = service.webdav_service
    client = webdav.configuration(service.configurations.get(config_name).target_client_id)
    planned = rehearsal.planned
    forecast = webdav.accounts.forecast(client, requests=planned.requests, bytes_up=planned.bytes_up)
    return BackupEstimate(rehearsal, planned, forecast)


def stored_anew(service: BackupService, config_name: str) -> BackupSummary:
    """Rehearse a full backup into a new repository: what the source takes by itself."""
    from backup_core.services.backup_run import BackupRun

    tracker = ProgressTracker(no_progress, clock=service.clock)
    config = service.configurations.get(config_name)
    return BackupRun(service, config, "full", tracker=tracker, cancel=CancelToken()).rehearse_anew()
