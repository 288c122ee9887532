"""Is there room for a backup? Asked before anything is read, and only as far as it takes to be sure.

A server that tells its free space (RFC 4331), and a local disk, are held against what the backup can need at most; only
when that is more is the source walked and a sample of it compressed. A server that tells nothing is not asked twice.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.errors import QuotaExceeded, SourceError, StorageError
from backup_core.results import BackupSummary
from backup_core.services.repositories import OpenRepository

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_STILL_TRUE = timedelta(hours=24)
"""How long an answer that there is plenty of room is believed."""
_SAYS_NOTHING = "no-room-told-by:"
"""Setting: client -> when its server was asked for its room and had no answer."""
_MARGIN = 64 << 20
"""Bytes for index files, trees, and what others store meanwhile."""
_LOWER = 0.85
"""The part of an estimate that is certainly needed: it is refused what cannot fit, not what might not."""


def refuse_without_room(service: BackupService, opened: OpenRepository, rehearse: Callable[[], BackupSummary]) -> None:
    """Raise ``QuotaExceeded`` when a backup of the open configuration cannot fit.

    ``rehearse`` walks the source and tells what would be added.
    """
    config = opened.config
    enough = _enough(service, config)
    last = service.catalogue.readings.space(config.target_client_id)[-1:]
    fresh = [row for row in last if service.clock.now() - row.at < _STILL_TRUE]
    if any(row.available is not None and row.available >= enough for row in fresh):
        return
    asked, silent = service.catalogue.setups, f"{_SAYS_NOTHING}{config.target_client_id}"
    said_nothing_at = asked.setting(silent)
    if said_nothing_at and service.clock.now() - datetime.fromisoformat(str(said_nothing_at)) < _STILL_TRUE:
        return
    try:
        space = opened.repository.backend.space()
    except StorageError as error:
        _LOG.info("nobody knows how much room there is: %s", error)
        return
    service.webdav_service.note_space(config.target_client_id, space)
    available = space.available
    if available is None:
        asked.set(silent, service.clock.now().isoformat())
    if available is None or available >= enough:
        return
    try:
        needed = rehearse().stored_size
    except SourceError as error:
        _LOG.debug("no estimate, since the backup itself will fail: %s", error)
        return
    if needed * _LOWER > available:
        raise QuotaExceeded(
            f"the backup of {config.name!r} cannot fit: it needs about {_shown(needed)}, and there are "
            f"{_shown(available)} left at {opened.repository.backend.location}. Nothing was stored. Make room "
            "(davault cleanup, then davault prune), exclude files, or back up all the same with --no-space-check"
        )


def _enough(service: BackupService, config: BackupConfig) -> int:
    """Bytes that are enough for any backup of this configuration."""
    bounds = []
    known = service.catalogue.manifests.listed(config.name)
    if known:
        bounds.append(2 * max(row.total_size for row in known[:3]))
    with suppress(OSError):  # a source that is not there is told when it is backed up
        devices = {Path(path).stat().st_dev: shutil.disk_usage(path).used for path in config.source_paths}
        bounds.append(sum(devices.values()))
    return min(bounds, default=1 << 62) + _MARGIN


def _shown(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB" if size >= 10 << 20 else f"{size:,} bytes"
