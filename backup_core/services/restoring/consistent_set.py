"""Several configurations as of one time, in one act.

Without a common freeze of their sources there is no such thing as one moment for several backups. What there is: for
each configuration the newest backup at or before the time asked for, and how far these lie apart (the skew). It is
shown before anything is written, and may be bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from backup_core.config.home import file_stem
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Cancelled, ConfigError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.results import RestoreSummary
from backup_core.services.moments import to_aware, to_local
from backup_core.services.recovery_records import RestorePreview
from backup_core.services.restore_sessions import RestoreRequest
from backup_core.services.restoring.choice import RestoreChoice

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsistentSet:
    """The backups that belong together."""

    at: datetime
    """Naive local time that was asked for; now, when none was."""
    requests: tuple[RestoreRequest, ...]
    """In the order in which they will be restored."""

    @property
    def oldest(self) -> datetime:
        """When the oldest of the backups began, naive local time."""
        return min(request.backup.created_at for request in self.requests)

    @property
    def newest(self) -> datetime:
        """When the newest of the backups began, naive local time."""
        return max(request.backup.created_at for request in self.requests)

    @property
    def skew(self) -> timedelta:
        """How far the backups lie apart."""
        return self.newest - self.oldest

    def distance(self, request: RestoreRequest) -> timedelta:
        """How long before the time asked for a member was made."""
        return self.at - request.backup.created_at


@dataclass(frozen=True, slots=True)
class MemberResult:
    """What became of one member."""

    request: RestoreRequest
    summary: RestoreSummary | None
    error: str = ""
    """Why it could not be restored at all."""


class ConsistentSets:
    """Chooses and restores sets."""

    def __init__(self, recovery: RecoveryService) -> None:
        self._recovery = recovery

    def choose(
        self,
        names: Sequence[str],
        *,
        target: Path,
        most_skew: timedelta | None = None,
        **choice: Unpack[RestoreChoice],
    ) -> ConsistentSet:
        """For each configuration the newest backup at or before ``at``, to go below ``target`` into
        a directory of its name. Raises ``ConfigError`` with every reason why the set is not whole, or lies too far
        apart; nothing was written then.
        """
        if not names or len(set(names)) != len(names):
            raise ConfigError("name one configuration or more, each once")
        at = choice.get("at")
        requests, problems = [], []
        for name in names:
            try:
                wanted = self._recovery.request(name, target=target / file_stem(name), **choice)
                requests.append(wanted)
            except Cancelled:
                raise
            except BackupError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise ConfigError("the set is not whole; nothing was restored", problems=problems)
        moment = to_local(to_aware(at) if at is not None else self._recovery.backup_service.clock.now())
        chosen = ConsistentSet(moment, tuple(requests))
        if most_skew is not None and chosen.skew > most_skew:
            raise ConfigError(
                f"the backups lie {chosen.skew} apart (from {chosen.oldest:%Y-%m-%d %H:%M:%S} to "
                f"{chosen.newest:%Y-%m-%d %H:%M:%S}), more than the {most_skew} that was allowed; nothing was restored"
            )
        return chosen

    def preview(
        self, chosen: ConsistentSet, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> list[RestorePreview]:
        """What ``run`` would do, for each member."""
        return [
            self._recovery.executor.preview(request, cancel=cancel, progress=progress) for request in chosen.requests
        ]

    def run(
        self, chosen: ConsistentSet, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> list[MemberResult]:
        """Restore the members one after the other; one that fails does not keep the others from coming back."""
        results = []
        for request in chosen.requests:
            try:
                summary = self._recovery.executor.run(request, cancel=cancel, progress=progress)
                results.append(MemberResult(request, summary))
            except Cancelled:
                raise
            except BackupError as error:
                _LOG.error("%s could not be restored: %s", request.backup.config_name, error)
                results.append(MemberResult(request, None, str(error)))
        return results
