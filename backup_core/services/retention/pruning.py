"""Giving back the room of data that no backup of a repository needs any more."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from backup_core.catalogue.evidence_rows import Fate, GoneSnapshotRow
from backup_core.config.sizes import parse_size
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError, RepositoryError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.repository import reserve
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import PruneReport, prune
from backup_core.services.repositories import OpenRepository
from backup_core.services.retention.holds import refuse_while_held
from backup_core.services.retention.work_record import recorded
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*")
_FIGURES = (
    "kept_packs",
    "kept_bytes",
    "repacked_packs",
    "repacked_bytes",
    "deleted_packs",
    "deleted_bytes",
    "unreferenced_packs",
    "unreferenced_bytes",
    "lost_packs",
    "freed_bytes",
    "unused_bytes",
    "seconds",
)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What pruning did, or for a dry run would do. All sizes are stored bytes."""

    config_name: str
    dry_run: bool
    kept_packs: int
    kept_bytes: int
    repacked_packs: int
    repacked_bytes: int
    """Copied out of packs that were needed in part."""
    deleted_packs: int
    """In an index, and not needed by any backup."""
    deleted_bytes: int
    unreferenced_packs: int
    """In no index: left by interrupted runs."""
    unreferenced_bytes: int
    lost_packs: int
    """In an index, gone from the server, and not needed: taken off the index."""
    freed_bytes: int
    """What the server has back."""
    unused_bytes: int
    """No longer needed, and left in packs that stay."""
    planned_requests: Mapping[str, int]
    """Estimated requests by work: copy, index, delete. Looking at what there is comes on top."""
    requests: Mapping[str, int]
    """Requests really sent, by method."""
    seconds: float

    @classmethod
    def of(cls, config_name: str, report: PruneReport, requests: Mapping[str, int], seconds: float) -> Self:
        """The figures of a report."""
        plan = report.plan
        return cls(
            config_name=config_name,
            dry_run=report.dry_run,
            kept_packs=len(plan.keep),
            kept_bytes=sum(use.size for use in plan.keep),
            repacked_packs=len(plan.repack),
            repacked_bytes=plan.bytes_copied,
            deleted_packs=len(plan.delete),
            deleted_bytes=sum(use.size for use in plan.delete),
            unreferenced_packs=len(plan.orphans),
            unreferenced_bytes=sum(plan.orphans.values()),
            lost_packs=len(plan.lost),
            freed_bytes=plan.bytes_freed,
            unused_bytes=plan.bytes_unused_after,
            planned_requests=dict(plan.requests),
            requests=requests,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneLimits:
    """How thorough pruning is, in the words of people."""

    max_unused: str = "5%"
    """Unneeded data that may stay: a share of what stays ("5%"), bytes ("500M", "0") or "unlimited", with which
    nothing is copied."""
    max_repack_size: str | None = None
    """Most bytes to copy out of packs that are needed in part, such as "2G"; the rest waits for the next time."""
    max_requests: int | None = None
    """Most requests for copying, rewriting the index and deleting; the rest waits for the next time."""

    def bounds(self) -> PruneBounds:
        """The same as numbers. Raises ``ConfigError``."""
        bounds = bounds_from(self.max_unused)
        if self.max_repack_size is not None:
            try:
                bounds = replace(bounds, max_repack_bytes=parse_size(self.max_repack_size))
            except ValueError as error:
                raise ConfigError(f"most bytes to copy: {error}") from error
        return replace(bounds, max_requests=self.max_requests)


def bounds_from(max_unused: str) -> PruneBounds:
    """How much unneeded data may stay; see ``PruneLimits.max_unused``. Raises ``ConfigError``."""
    if max_unused.strip().lower() == "unlimited":
        return PruneBounds(max_unused_share=None)
    if match := _PERCENT.fullmatch(max_unused):
        return PruneBounds(max_unused_share=float(match[1]) / 100)
    try:
        return PruneBounds(max_unused_share=None, max_unused_bytes=parse_size(max_unused))
    except ValueError as error:
        raise ConfigError(f"{max_unused!r} is no amount of unused data: say 5%, 500M, 0 or unlimited") from error


def prune_repository(
    service: BackupService,
    config_name: str,
    limits: PruneLimits,
    *,
    dry_run: bool = False,
    cancel: CancelToken | None = None,
    progress: ProgressSink = no_progress,
) -> PruneResult:
    """Prune the repository of a configuration; see ``Retention.prune`` for the errors."""
    bounds = limits.bounds()
    config = service.configurations.stored(config_name)
    tracker = ProgressTracker(progress, clock=service.clock)
    tracker.phase("prune")
    if dry_run:
        return _pruned(service, config, bounds, dry_run=True, cancel=cancel, tracker=tracker)
    with recorded(service, "prune", config.name) as record:
        result = _pruned(service, config, bounds, dry_run=False, cancel=cancel, tracker=tracker)
        record.requests = dict(result.requests)
        record.figures = {name: getattr(result, name) for name in _FIGURES} | {
            "planned_requests": dict(result.planned_requests)
        }
    _LOG.info("pruned the repository of %s: %d bytes given back", config_name, result.freed_bytes)
    return result


def _pruned(
    service: BackupService,
    config: BackupConfig,
    bounds: PruneBounds,
    *,
    dry_run: bool,
    cancel: CancelToken | None,
    tracker: ProgressTracker,
) -> PruneResult:
    begun = service.clock.monotonic()
    with service.repositories.opened(config, tracker=tracker, cancel=cancel, priority=Priority.PRUNE) as opened:
        if not dry_run:
            names = [config.name, *(other.name for other in service.configurations.sharing(config))]
            refuse_while_held(service, opened.repository.id, names)
        known = [row.snapshot_id for row in service.catalogue.manifests.listed(repository_id=opened.repository.id)]
        known += [row.snapshot_id for row in _vanished(service, opened, refuse=not dry_run)]
        report = prune(opened.repository, bounds, dry_run=dry_run, known=known, progress=tracker, cancel=cancel)
        if not dry_run:
            if not reserve.is_there(opened.repository.backend):
                reserve.set_aside(opened.repository.backend)
            opened.repository.load_index(cancel=cancel)
            service.known.note_stored_size(opened)
        requests = dict(opened.repository.backend.requests.by_method)
    return PruneResult.of(config.name, report, requests, service.clock.monotonic() - begun)


def _vanished(service: BackupService, opened: OpenRepository, *, refuse: bool) -> list[GoneSnapshotRow]:
    """Snapshots that are gone without anybody having said so: their data is the only way back to them."""
    service.known.mirror(opened, strict=True)
    gone = service.catalogue.evidence.gone(repository_id=opened.repository.id, fate=Fate.VANISHED)
    if gone and refuse:
        raise RepositoryError(
            f"{len(gone)} backups vanished from this repository without anybody having forgotten them "
            f"({gone[0].backup_id}). Their data may still be there, so nothing is removed. If they are rightly gone: "
            f"davault vanished --accept {gone[0].snapshot_id[:8]}"
        )
    return gone
