"""Parity of the repository of a configuration: made after backups and on demand, looked at, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.errors import BackupError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.repository.parity.making import (
    ParityPlan,
    ParityReport,
    forget_copies,
    plan_for_copies,
    plan_parity,
    run_parity,
)
from backup_core.repository.parity.objects import ParityObject, fault_of, find_parity
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService
    from backup_core.services.repositories import OpenRepository


@dataclass(frozen=True, slots=True)
class ParityOutcome:
    """What would be made, and what was unless it was only planned."""

    plan: ParityPlan
    report: ParityReport | None


@dataclass(frozen=True, slots=True)
class ParityState:
    """Which packs have parity."""

    objects: int
    bytes_stored: int
    """On the server, for parity alone."""
    packs: int
    """In the index."""
    protected: int
    """Packs that have parity in a group that is whole."""
    stale: int
    """Objects that protect less than they could, or nothing: packs of their group were pruned, or they were cut."""
    checked: bool
    """Whether all objects were read."""
    problems: tuple[Problem, ...]
    """Objects that are damaged."""


class ParityCare:
    """Makes and checks parity. All methods raise what opening a repository raises."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def create(
        self,
        config_name: str,
        share: float | None = None,
        *,
        read_data: bool = False,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> ParityOutcome:
        """Give parity to all packs that have none, and replace objects that have become stale; with ``read_data``,
        also those that are damaged.

        ``share`` (0.05 is 5 %) is that of the configuration when not given; ``ConfigError`` when neither is there.
        """
        config, token, tracker = self._wishes(config_name, cancel, progress)
        share = share if share is not None else config.parity_share
        if share is None:
            raise ConfigError(
                f"how much parity is wanted? Say --share 5%, or davault config edit {config.name} --parity 5%"
            )
        with self._opened(config, tracker, token) as repository, repository.lock(cancel=token) as held:
            problems: list[Problem] = []
            objects = find_parity(repository, problems=problems, cancel=token)
            bad = _damaged(repository, objects, tracker, token) if read_data else []
            distrusted = {problem.object_id for problem in bad}
            useless = [problem.object_id for problem in problems]
            plan = plan_parity(repository, share, objects, distrusted=distrusted, useless=useless)
            if dry_run or plan.nothing_to_do:
                return ParityOutcome(plan, ParityReport(problems=problems))
            report = run_parity(repository, plan, held, progress=tracker, cancel=token)
            forget_copies(repository)
            return ParityOutcome(plan, report)

    def status(
        self,
        config_name: str,
        *,
        read_data: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> ParityState:
        """How much of a repository is protected; with ``read_data`` every object is downloaded and checked."""
        config, token, tracker = self._wishes(config_name, cancel, progress)
        problems: list[Problem] = []
        with self._opened(config, tracker, token) as repository:
            objects = find_parity(repository, problems=problems, cancel=token, allow_unproved=True)
            problems += [_cut(one) for one in objects if not one.whole]
            packs = frozenset(repository.index.packs())
            sound = [one for one in objects if one.whole and one.packs <= packs]
            if read_data:
                problems += _damaged(repository, sound, tracker, token)
            protected = frozenset[bytes]().union(*(one.packs for one in sound))
            return ParityState(
                objects=len(objects),
                bytes_stored=sum(one.size for one in objects),
                packs=len(packs),
                protected=len(protected & packs),
                stale=len(objects) - len(sound),
                checked=read_data,
                problems=tuple(problems),
            )

    def _wishes(
        self, config_name: str, cancel: CancelToken | None, progress: ProgressSink
    ) -> tuple[BackupConfig, CancelToken, ProgressTracker]:
        config = self._service.configurations.get(config_name)
        return config, cancel or CancelToken(), ProgressTracker(progress, clock=self._service.clock)

    @contextmanager
    def _opened(self, config: BackupConfig, tracker: ProgressTracker, token: CancelToken) -> Iterator[Repository]:
        with self._service.repositories.opened(config, tracker=tracker, cancel=token) as opened:
            opened.repository.load_index(tracker, token)
            yield opened.repository


def protect(opened: OpenRepository, share: float, tracker: ProgressTracker, cancel: CancelToken) -> tuple[Problem, ...]:
    """After a backup: parity for the packs that it stored, from their local copies. Downloads no pack.

    The backup is on the server already, so nothing that goes wrong here is more than a hint.
    """
    repository = opened.repository
    try:
        plan = plan_for_copies(repository, share)
        if not plan.groups:
            return ()
        with repository.lock(cancel=cancel) as held:
            return tuple(run_parity(repository, plan, held, progress=tracker, cancel=cancel).problems)
    except BackupError as error:
        message = f"the backup is stored, but it has no parity yet: {error}. Next: davault parity create"
        return (Problem("parity", message, severity=Severity.HINT),)


def _cut(one: ParityObject) -> Problem:
    return Problem("parity", f"{one.name} is not as long as it should be", object_id=one.name)


def _damaged(
    repository: Repository, objects: Sequence[ParityObject], tracker: ProgressTracker, cancel: CancelToken
) -> list[Problem]:
    tracker.phase("check")
    found = []
    for one in objects:
        cancel.check()
        if (fault := fault_of(repository, one)) is not None:
            found.append(fault)
    return found
