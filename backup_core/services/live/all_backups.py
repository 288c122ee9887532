"""All configurations in one go: different repositories side by side, those that share one after the other.

How many run at once is bounded by what was asked for, and for each account by what its server likes: one where it
counts requests, two elsewhere. A configuration that fails stops no other.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from backup_core.config.models import BackupConfig
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Cancelled
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.results import BackupSummary, Outcome
from backup_core.services.accounts.identity import account_of
from backup_core.services.backup_run import BackupRun
from backup_core.services.disaster.combined_progress import CombinedProgress
from backup_core.storage.webdav.profiles import profile_named

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_SIDE_BY_SIDE = 2
"""The same for one account that counts no requests."""


@dataclass(frozen=True, slots=True)
class ConfigurationOutcome:
    """How the backup of one configuration ended."""

    name: str
    summary: BackupSummary | None = None
    """None when there is no backup."""
    error: BaseException | None = None
    """Why not."""

    @property
    def outcome(self) -> Outcome:
        """In one word."""
        if self.summary is not None:
            return self.summary.outcome
        return Outcome.CANCELLED if isinstance(self.error, Cancelled) else Outcome.FAILED


@dataclass(frozen=True, slots=True)
class _Group:
    """Configurations that share a repository."""

    account: str
    """"" where there is none."""
    side_by_side: int
    configs: tuple[BackupConfig, ...]


@dataclass(frozen=True, slots=True)
class _Wishes:
    kind: str | None
    dry_run: bool
    together: int
    cancel: CancelToken


class AllBackups:
    """Backs up several configurations."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def run(
        self,
        names: Sequence[str] = (),
        *,
        kind: str | None = None,
        dry_run: bool = False,
        jobs: int = 4,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> list[ConfigurationOutcome]:
        """Back up these configurations (all of this machine, when none is named); how each of them ended, in the order
        of the names.

        ``jobs`` is how many repositories are written at most at the same time. When ``cancel`` is set, those under way
        stop at the next safe point and the others do not begin. Raises ``ConfigError`` for unknown names.
        """
        known = self._service.configurations
        configs = [known.get(name) for name in names] if names else known.of_this_host()
        waiting = self._groups(configs)
        together = max(1, min(jobs, len(waiting)))
        wishes = _Wishes(kind, dry_run, together, cancel or CancelToken())
        combined = CombinedProgress(progress, phase="backup", counted="backup")
        ended: dict[str, ConfigurationOutcome] = {}
        running: dict[Future[list[ConfigurationOutcome]], _Group] = {}
        with ThreadPoolExecutor(together, thread_name_prefix="davault-backup") as pool:
            while waiting or running:
                for group in _startable(waiting, list(running.values()), together):
                    waiting.remove(group)
                    work = pool.submit(self._run_group, group, wishes, combined)
                    running[work] = group
                for work in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[work]
                    ended |= {one.name: one for one in work.result()}
        return [ended[config.name] for config in configs]

    def _groups(self, configs: Sequence[BackupConfig]) -> list[_Group]:
        places: dict[tuple[str, str], list[BackupConfig]] = {}
        for config in dict.fromkeys(config.name for config in configs):
            found = next(c for c in configs if c.name == config)
            places.setdefault(found.place, []).append(found)
        groups = []
        for (client_name, _), members in places.items():
            client = self._service.webdav_service.configuration(client_name)
            account, profile = account_of(client), profile_named(client.service_type)
            counted = client.window_requests or profile.window_requests
            parallel = client.parallel_requests or profile.parallel_requests
            limit = 1 if counted or parallel == 1 else _SIDE_BY_SIDE
            groups.append(_Group(account.key if account else "", limit, tuple(members)))
        return groups

    def _run_group(self, group: _Group, wishes: _Wishes, progress: CombinedProgress) -> list[ConfigurationOutcome]:
        ended = []
        for config in group.configs:
            try:
                wishes.cancel.check()
                run = BackupRun(
                    self._service,
                    config.model_copy(update={"workers": _workers(config, wishes.together)}),
                    wishes.kind or config.default_type,
                    tracker=ProgressTracker(progress.of(config.name), clock=self._service.clock),
                    cancel=wishes.cancel,
                )
                ended.append(ConfigurationOutcome(config.name, run.carry_out(dry_run=wishes.dry_run)))
            except BackupError as error:
                ended.append(ConfigurationOutcome(config.name, error=error))
            except Exception as error:
                _LOG.exception("the backup of %r met an error that nobody foresaw", config.name)
                ended.append(ConfigurationOutcome(config.name, error=error))
            finally:
                progress.ended(config.name)
        return ended


def _startable(waiting: Sequence[_Group], running: Sequence[_Group], together: int) -> list[_Group]:
    """Which of those that wait may begin now."""
    used = Counter(group.account for group in running if group.account)
    free = together - len(running)
    chosen: list[_Group] = []
    for group in waiting:
        if len(chosen) < free and (not group.account or used[group.account] < group.side_by_side):
            chosen.append(group)
            used[group.account] += 1
    return chosen


def _workers(config: BackupConfig, together: int) -> int:
    from backup_core.engine.worker_pool import default_worker_count

    return config.workers or max(1, default_worker_count() // together)
