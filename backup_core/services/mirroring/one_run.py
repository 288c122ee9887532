"""One run to one mirror: alone on this machine, recorded from its start to its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from backup_core.catalogue.rows import RunRow
from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig
from backup_core.deferred import dataclass
from backup_core.engine.mirroring.run import mirror
from backup_core.engine.mirroring.summary import MirrorSummary
from backup_core.errors import Cancelled, CatalogueError, ConfigError, NotARepository
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.options import default_hostname
from backup_core.results import Outcome, Problem, Severity
from backup_core.services.mirroring.places import find_mirror, opened_mirror
from backup_core.services.mirroring.result import MirrorResult
from backup_core.services.private_files import exclusive
from backup_core.services.repositories import OpenRepository
from backup_core.services.run_records import stored_problems
from backup_core.services.run_records.keeper import RecordKeeper
from backup_core.services.snapshot_facts import backup_id_of, configuration_name

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
RUN_KIND = "mirror"
"""``RunRow.kind`` of mirror runs."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be copied, and how."""

    backup_ids: tuple[str, ...] = ()
    """Only these; empty: all of the configuration."""
    everything: bool = False
    """All that is in the repository."""
    check: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class MirrorRun:
    """One run of one configuration to one mirror; carried out once."""

    service: BackupService
    config: BackupConfig
    place: MirrorConfig
    wish: Wish
    tracker: ProgressTracker
    cancel: CancelToken
    problems: list[Problem] = field(default_factory=list)

    def carry_out(self) -> MirrorResult:
        """Copy. Raises as ``engine.mirroring.run.mirror`` and ``Repositories.opened``, and ``LockHeld``."""
        lock = self.service.home.lock_file(f"mirror {self.config.name} {self.place.shown}")
        subject = f"{self.config.name!r} is being copied to {self.place.shown} already"
        with exclusive(lock, subject=subject):
            return self._copy() if self.wish.dry_run else self._recorded()

    def _recorded(self) -> MirrorResult:
        history, clock = self.service.catalogue.history, self.service.clock
        number = history.begin_run(
            RunRow(
                kind=RUN_KIND,
                configuration=self.config.name,
                started_at=clock.now(),
                hostname=default_hostname(),
                pid=os.getpid(),
                figures={"mirror": self.place.shown},
            )
        )
        try:
            result = self._copy()
        except BaseException as error:
            stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
            outcome = Outcome.CANCELLED if stopped else Outcome.FAILED
            history.end_run(number, ended_at=clock.now(), outcome=outcome.value, error=str(error))
            raise
        try:
            history.end_run(
                number,
                ended_at=clock.now(),
                outcome=result.outcome.value,
                figures=result.figures,
                requests=result.requests,
                problems=stored_problems(result.problems),
            )
        except CatalogueError as error:
            told = f"the copies are stored, but the catalogue could not record the run: {error}"
            return replace(result, problems=(*result.problems, Problem("catalogue", told, severity=Severity.HINT)))
        return result

    def _copy(self) -> MirrorResult:
        repositories = self.service.repositories
        with repositories.opened(self.config, tracker=self.tracker, cancel=self.cancel) as first:
            self.service.known.mirror(first)
            wanted = self._wanted(first)
            like = None if self.wish.dry_run else first
            try:
                with opened_mirror(
                    repositories, self.config, self.place, like=like, tracker=self.tracker, cancel=self.cancel
                ) as second:
                    if self.wish.dry_run:
                        return self._mirrored(first, second, wanted)
                    self._remember()
                    result = self._mirrored(first, second, wanted)
                    # So that a lost home can be rebuilt from the mirror alone.
                    kept = RecordKeeper(self.service).keep(second)
                    requests = dict(second.repository.backend.requests.by_method)
                    return replace(result, problems=(*result.problems, *kept), requests_target=requests)
            except NotARepository:
                if not self.wish.dry_run:
                    raise
            with repositories.rehearsed(self.config) as nothing:
                result = self._mirrored(first, nothing, wanted)
            return replace(result, created=True, location="", requests_target={})

    def _remember(self) -> None:
        config = self.service.configurations.get(self.config.name)
        if find_mirror(config, *self.place.place) is None:
            config.mirrors = [*config.mirrors, self.place]
            self.service.configurations.add(config, replace=True)

    def _wanted(self, first: OpenRepository) -> list[Snapshot]:
        snapshots = first.repository.snapshots(problems=self.problems, cancel=self.cancel)
        if self.wish.backup_ids:
            ids = {self.service.known.one(backup_id).snapshot_id for backup_id in self.wish.backup_ids}
            missing = ids - {snapshot.id for snapshot in snapshots}
            if missing:
                named = ", ".join(sorted(digits[:8] for digits in missing))
                raise ConfigError(f"not in the repository of {self.config.name!r}: {named}")
            return [snapshot for snapshot in snapshots if snapshot.id in ids]
        if self.wish.everything:
            return snapshots
        return [snapshot for snapshot in snapshots if configuration_name(snapshot) == self.config.name]

    def _mirrored(self, first: OpenRepository, second: OpenRepository, wanted: Sequence[Snapshot]) -> MirrorResult:
        summary = mirror(
            first.repository,
            second.repository,
            wanted,
            check=self.wish.check,
            dry_run=self.wish.dry_run,
            clock=self.service.clock,
            progress=self.tracker,
            cancel=self.cancel,
        )
        copied = len(summary.snapshots_copied)
        _LOG.info("mirrored %s to %s: %d backups copied", self.config.name, self.place.shown, copied)
        return self._result(first, second, wanted, summary)

    def _result(
        self, first: OpenRepository, second: OpenRepository, wanted: Sequence[Snapshot], summary: MirrorSummary
    ) -> MirrorResult:
        names = {snapshot.id: backup_id_of(snapshot) for snapshot in wanted}
        outcome = summary.outcome
        if self.problems and outcome is Outcome.COMPLETED:
            # A snapshot that cannot be read may be one that should have been copied.
            outcome = Outcome.COMPLETED_WITH_PROBLEMS
        return MirrorResult(
            config_name=self.config.name,
            client=self.place.client,
            path=self.place.path,
            location=second.repository.backend.location,
            dry_run=summary.dry_run,
            outcome=outcome,
            created=second.created,
            copied=tuple(names[snapshot] for snapshot in summary.snapshots_copied),
            already_there=summary.snapshots_present,
            left_out={names[snapshot]: reason for snapshot, reason in summary.left_out.items()},
            blobs=summary.blobs,
            bytes_read=summary.bytes_read,
            bytes_written=summary.bytes_written,
            packs=summary.packs,
            planned_requests=summary.planned_requests,
            requests_source=dict(first.repository.backend.requests.by_method),
            requests_target=dict(second.repository.backend.requests.by_method),
            seconds=summary.seconds,
            notes=second.notes,
            problems=(*self.problems, *summary.problems),
        )
