"""Repairing the repository of a configuration: its index, its packs, its snapshots. Each is planned first, and with
``dry_run`` only planned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError, StorageError
from backup_core.format.ids import to_hex
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.repository.parity.objects import find_parity
from backup_core.repository.parity.rebuilding import Rebuilt, rebuild_packs
from backup_core.repository.repair.index import IndexRepair, plan_index_repair, run_index_repair
from backup_core.repository.repair.packs import PacksRepair, PacksReport, plan_packs_repair, run_packs_repair
from backup_core.repository.repair.snapshots import DamagedSnapshot, plan_snapshot_repair, run_snapshot_repair
from backup_core.repository.repository import Repository
from backup_core.results import Problem
from backup_core.services.run_records.keeper import RecordKeeper
from backup_core.services.vanished import record_forgotten
from backup_core.types import PackId

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
Plan = TypeVar("Plan")


@dataclass(frozen=True, slots=True)
class PacksOutcome:
    """Damaged packs, and what became of them unless they were only looked for."""

    plan: PacksRepair
    """What was damaged."""
    report: PacksReport | None
    """What was salvaged of packs that could not be rebuilt."""
    rebuilt: tuple[PackId, ...] = ()
    """Packs that are whole again, by parity."""
    not_rebuilt: Mapping[PackId, str] = field(default_factory=dict)
    """Why others are not."""

    @property
    def lost(self) -> tuple[str, ...]:
        """Hex ids of the blobs that are lost."""
        return () if self.report is None else tuple(map(to_hex, self.report.lost))


class Repairs:
    """Repairs repositories. All methods raise what opening one raises, ``LockHeld`` and ``ListingUnproved``."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def index(
        self,
        config_name: str,
        *,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> IndexRepair:
        """Make the index list the packs that are there, and them alone."""

        def work(repository: Repository, tracker: ProgressTracker, token: CancelToken) -> IndexRepair:
            plan = plan_index_repair(repository, progress=tracker, cancel=token)
            if not dry_run and not plan.nothing_to_do:
                run_index_repair(repository, plan, progress=tracker, cancel=token)
            return plan

        return self._work(config_name, work, dry_run=dry_run, cancel=cancel, progress=progress)

    def packs(
        self,
        config_name: str,
        packs: Sequence[str] = (),
        *,
        read_data: bool = False,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> PacksOutcome:
        """Rebuild damaged packs (those named, or all that are found) from parity; else store anew what can be read of
        them, and remove them.

        The bytes of those that are removed are kept below the home, in ``damaged/``. ``read_data`` reads all packs to
        find damaged ones; otherwise only their sizes are looked at.
        """

        def work(repository: Repository, tracker: ProgressTracker, token: CancelToken) -> PacksOutcome:
            repository.load_index(tracker, token)
            plan = plan_packs_repair(repository, packs, read_data=read_data, progress=tracker, cancel=token)
            if dry_run or plan.nothing_to_do:
                return PacksOutcome(plan, None)
            done = _rebuilt_by_parity(repository, plan.packs, tracker, token)
            plan_left = plan.without(done.packs)
            if plan_left.nothing_to_do:
                return PacksOutcome(plan, None, tuple(done.packs))
            keep_in = self._service.home.root / "damaged" / repository.id
            report = run_packs_repair(repository, plan_left, keep_in=keep_in, progress=tracker, cancel=token)
            return PacksOutcome(plan, report, tuple(done.packs), done.failed)

        return self._work(config_name, work, dry_run=dry_run, cancel=cancel, progress=progress)

    def snapshots(
        self,
        config_name: str,
        backups: Sequence[str] = (),
        *,
        forget: bool = False,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> list[DamagedSnapshot]:
        """Make copies of damaged backups (those named by snapshot or backup id, or all that are found) that hold what
        is left; with ``forget`` the damaged ones go."""
        wanted = [self._snapshot_of(one) for one in backups]

        def work(repository: Repository, tracker: ProgressTracker, token: CancelToken) -> list[DamagedSnapshot]:
            repository.snapshots(cancel=token)
            repository.load_index(tracker, token)
            plan = plan_snapshot_repair(repository, wanted, progress=tracker, cancel=token)
            if dry_run or not plan:
                return plan
            if forget:
                # First the word, then the deed: a snapshot that goes without a word counts as stolen.
                damaged = [str(one.snapshot.id) for one in plan]
                record_forgotten(self._service, damaged, reason="it was damaged; a repair kept what was left of it")
            return run_snapshot_repair(repository, plan, forget=forget, progress=tracker, cancel=token)

        return self._work(config_name, work, dry_run=dry_run, cancel=cancel, progress=progress)

    def _snapshot_of(self, backup: str) -> str:
        return self._service.manifest(backup).snapshot_id

    def _work(
        self,
        config_name: str,
        work: Callable[[Repository, ProgressTracker, CancelToken], Plan],
        *,
        dry_run: bool,
        cancel: CancelToken | None,
        progress: ProgressSink,
    ) -> Plan:
        token = cancel or CancelToken()
        tracker = ProgressTracker(progress, clock=self._service.clock)
        config = self._service.configurations.get(config_name)
        with ExitStack() as stack:
            opened = stack.enter_context(self._service.repositories.opened(config, tracker=tracker, cancel=token))
            repository = opened.repository
            if dry_run:
                stack.enter_context(repository.lock_for_reading(cancel=token))
            else:
                stack.enter_context(repository.lock(exclusive=True, cancel=token))
            done = work(repository, tracker, token)
            if not dry_run:
                self._service.known.mirror(opened)
                RecordKeeper(self._service).keep(opened)
                _LOG.info("looked after the repository of %s", config.name)
        return done


def _rebuilt_by_parity(
    repository: Repository, packs: Collection[PackId], tracker: ProgressTracker, token: CancelToken
) -> Rebuilt:
    """Whatever is wrong with parity itself must not keep anybody from salvaging what is left."""
    problems: list[Problem] = []
    try:
        objects = find_parity(repository, problems=problems, cancel=token, allow_unproved=True)
        with repository.lock(exclusive=True, cancel=token) as held:
            return rebuild_packs(repository, packs, objects, held, progress=tracker, cancel=token)
    except (ConfigError, StorageError) as error:
        _LOG.warning("parity could not be used: %s", error)
        return Rebuilt(failed=dict.fromkeys(packs, str(error)))
