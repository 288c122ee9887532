"""Reading a backup from whichever copy can be had: the first repository, or one of its mirrors.

When the first repository can be opened and knows the backup, it is read, and its mirrors stand by for single blobs that
it cannot give (``engine.copies``). Otherwise - its server does not answer, its folder or keys are gone - the first
mirror that has the backup takes its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.engine.copies import Copies, Spare
from backup_core.errors import BackupError, Cancelled, RepositoryError
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.results import Outcome, Problem, RestoreSummary, Severity
from backup_core.services.mirroring.places import copy_of, opened_mirror
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository
from backup_core.services.shown_backups import manifest
from backup_core.services.snapshot_facts import configuration_name, known_backup
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.config.mirrors import MirrorConfig
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a failing request is tried again when another copy can be asked instead."""

_REMEMBERED = 300.0
"""Seconds for which a first repository that could not be reached is not waited for again."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A backup in a copy that can be read."""

    repository: Repository
    copies: Copies
    """That repository, and the other copies for what it cannot give."""
    snapshot: Snapshot
    """The backup, as that repository has it."""
    problems: tuple[Problem, ...] = ()
    """Why it is not the first repository that is read, and the like."""

    def told(self, summary: RestoreSummary) -> RestoreSummary:
        """A restore's summary with these problems."""
        if not self.problems:
            return summary
        whole = summary.outcome is Outcome.COMPLETED and any(p.severity is not Severity.HINT for p in self.problems)
        outcome = Outcome.COMPLETED_WITH_PROBLEMS if whole else summary.outcome
        return replace(summary, outcome=outcome, problems=(*self.problems, *summary.problems))


class Fallback:
    """Opens what can be opened. Each call gives connections of its own. Safe between threads."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._failed: dict[str, float] = {}

    def patience(self, config: BackupConfig) -> float | None:
        """How many seconds a failing request to the first repository is tried again, None as always: for long when
        there is no mirror, and hardly at all when it has just failed."""
        if not config.mirrors:
            return None
        failed = self._failed.get(config.name)
        just_now = failed is not None and self._service.clock.monotonic() - failed < _REMEMBERED
        return 0.0 if just_now else PATIENCE

    def note_failure(self, config: BackupConfig) -> None:
        """The first repository could not be used: do not wait for it again soon."""
        self._failed[config.name] = self._service.clock.monotonic()

    def listed(self, config: BackupConfig) -> list[BackupManifest]:
        """A configuration's backups, newest first, as its server lists them now; as a mirror does when the server
        cannot be asked, or shows none. Raises what the first repository raised when no mirror can tell either."""
        try:
            with self._service.opened(config.name, patience=self.patience(config)):
                here = self._service.manifests(config.name)
        except Cancelled:
            raise
        except BackupError as error:
            self.note_failure(config)
            found = self.backups_on_mirrors(config)
            if not found:
                raise
            _LOG.warning("the backups of %r are listed from a mirror: %s", config.name, error)
            return found
        return here or self.backups_on_mirrors(config)

    @contextmanager
    def reached(
        self, config_name: str, backup: BackupManifest, *, tracker: ProgressTracker, cancel: CancelToken
    ) -> Iterator[Reached]:
        """A backup, locked against pruning where it is read, while the block runs.

        Raises what the first repository raised when no mirror has the backup either, and ``Cancelled``.
        """
        config = self._service.configurations.stored(config_name)
        search = _Search(self._service, self, config, backup, tracker, cancel)
        with ExitStack() as stack:
            yield search.reach(stack)

    def backups_on_mirrors(self, config: BackupConfig, *, cancel: CancelToken | None = None) -> list[BackupManifest]:
        """A configuration's backups as its first mirror that answers lists them, newest first; empty when none does."""
        for mirror in config.mirrors:
            try:
                with opened_mirror(
                    self._service.repositories, config, mirror, cancel=cancel, patience=PATIENCE
                ) as opened:
                    found = opened.repository.snapshots(problems=[], allow_unproved=True, cancel=cancel)
            except Cancelled:
                raise
            except BackupError as error:
                _LOG.warning("the mirror %s cannot be used: %s", mirror.shown, error)
                continue
            own = (s for s in reversed(found) if configuration_name(s) == config.name)
            return [_as_known_here(snapshot, opened.repository) for snapshot in own]
        return []


@dataclass(frozen=True)
class _Search:
    """The search for a copy of one backup."""

    service: BackupService
    fallback: Fallback
    config: BackupConfig
    backup: BackupManifest
    tracker: ProgressTracker
    cancel: CancelToken
    problems: list[Problem] = field(default_factory=list)

    def reach(self, stack: ExitStack) -> Reached:
        """Enter into ``stack`` the first copy that has the backup; the copies after it stand by."""
        fault: BackupError | None = None
        places: list[MirrorConfig | None] = [None, *self.config.mirrors]
        for number, place in enumerate(places):
            with ExitStack() as attempt:
                try:
                    opened = attempt.enter_context(self._opened(place))
                    attempt.enter_context(
                        opened.repository.lock_for_reading(problems=self.problems, cancel=self.cancel)
                    )
                    snapshot = self._snapshot(opened.repository, place)
                except Cancelled:
                    raise
                except BackupError as error:
                    fault = fault or error
                    self.problems.append(_unusable(place, error))
                    if place is None:
                        self.fallback.note_failure(self.config)
                    continue
                stack.enter_context(attempt.pop_all())
            if place is not None:
                self.problems.append(_instead(opened, place, fault))
            rest = [self._spare(mirror) for mirror in places[number + 1 :] if mirror is not None]
            copies = stack.enter_context(Copies(opened.repository, rest, cancel=self.cancel))
            return Reached(opened.repository, copies, snapshot, tuple(self.problems))
        raise fault or RepositoryError(f"{self.config.name!r} stores nowhere")

    @contextmanager
    def _opened(self, place: MirrorConfig | None) -> Iterator[OpenRepository]:
        if place is None:
            # One snapshot is wanted, which is chosen already: the list of backups need not be brought up to date.
            with self.service.repositories.opened(
                self.config,
                tracker=self.tracker,
                cancel=self.cancel,
                priority=Priority.RESTORE,
                patience=self.fallback.patience(self.config),
            ) as opened:
                yield opened
        else:
            with opened_mirror(
                self.service.repositories,
                self.config,
                place,
                tracker=self.tracker,
                cancel=self.cancel,
                priority=Priority.RESTORE,
                # The last one that can be asked is given all the time it needs.
                patience=None if place is self.config.mirrors[-1] else PATIENCE,
            ) as opened:
                yield opened

    def _snapshot(self, repository: Repository, place: MirrorConfig | None) -> Snapshot:
        if place is not None:
            return _on_mirror(repository, self.backup, place)
        try:
            return repository.load_snapshot(self.backup.snapshot_id)
        except BackupError as fault:
            found = self._snapshot_of_a_mirror(fault)
            if found is None:
                raise
            return found

    def _snapshot_of_a_mirror(self, fault: BackupError) -> Snapshot | None:
        """The snapshot file alone may be damaged: what it says is also on the mirrors, and the rest is read here."""
        for mirror in self.config.mirrors:
            try:
                with self._spare(mirror).open() as other:
                    found = _on_mirror(other, self.backup, mirror)
            except Cancelled:
                raise
            except BackupError as error:
                self.problems.append(_unusable(mirror, error))
                continue
            told = f"the snapshot was taken from {mirror.shown}: in the first copy, {fault}"
            self.problems.append(Problem("from-mirror", told, object_id=self.backup.snapshot_id))
            return found
        return None

    def _spare(self, mirror: MirrorConfig) -> Spare:
        @contextmanager
        def opened() -> Iterator[Repository]:
            with (
                self._opened(mirror) as found,
                found.repository.lock_for_reading(problems=self.problems, cancel=self.cancel),
            ):
                yield found.repository

        return Spare(mirror.shown, opened)


def _on_mirror(repository: Repository, backup: BackupManifest, mirror: MirrorConfig) -> Snapshot:
    found = copy_of(backup, repository.snapshots(problems=[], allow_unproved=True))
    if found is None:
        raise RepositoryError(f"the mirror {mirror.shown} does not hold the backup {backup.backup_id}")
    return found


def _unusable(place: MirrorConfig | None, error: BackupError) -> Problem:
    where = "the first repository" if place is None else f"the mirror {place.shown}"
    return Problem("copy-unusable", f"{where} cannot be used: {error}")


def _instead(opened: OpenRepository, place: MirrorConfig, fault: BackupError | None) -> Problem:
    told = f"everything was taken from the mirror {place.shown} ({opened.repository.backend.location})"
    return Problem("from-mirror", told if fault is None else f"{told}, because the first repository failed")


def _as_known_here(snapshot: Snapshot, repository: Repository) -> BackupManifest:
    """A copy as the backup that it is a copy of."""
    original = replace(snapshot, id=snapshot.original or snapshot.id)
    return manifest(known_backup(original, repository_id=repository.id, encrypted=repository.encrypted), None)
