"""One run of one configuration: alone on this machine, recorded from its start to its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from backup_core.catalogue.rows import RunRow
from backup_core.engine.archiver import run_backup
from backup_core.engine.backup_options import BackupOptions
from backup_core.errors import (
    BackupError,
    BackupExecutionError,
    Cancelled,
    CatalogueError,
    ConfigError,
    LockHeld,
    NotARepository,
)
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.options import default_hostname, default_username
from backup_core.results import BackupSummary, Outcome, PlannedCost, Problem, Severity
from backup_core.services.accounts.cautions import refuse_without_traffic
from backup_core.services.live.environment import CommandScene, command_sources, scene_of
from backup_core.services.live.hooks import HookedRun
from backup_core.services.live.room import refuse_without_room
from backup_core.services.moments import to_local
from backup_core.services.private_files import exclusive
from backup_core.services.repositories import OpenRepository
from backup_core.services.retention.surplus import retire_surplus
from backup_core.services.retention.watch import watch
from backup_core.services.run_records import run_fields
from backup_core.services.run_records.keeper import RecordKeeper
from backup_core.services.snapshot_facts import new_backup_id

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_AS_THEY_ARE = (Cancelled, ConfigError, LockHeld, BackupExecutionError)
"""Errors that callers tell apart by type; all others become ``BackupExecutionError``."""


class BackupRun:
    """Carries out one backup; used once."""

    def __init__(
        self,
        service: BackupService,
        config: BackupConfig,
        kind: str,
        *,
        tracker: ProgressTracker,
        cancel: CancelToken,
        tags: tuple[str, ...] = (),
    ) -> None:
        self._service = service
        self._config = config
        self._kind = cast(Literal["full", "incremental"], kind)
        self._tracker = tracker
        self._cancel = cancel
        self._tags = tags
        self._space_check = True

    def carry_out(self, *, dry_run: bool, space_check: bool = True) -> BackupSummary:
        """Back up; with ``space_check`` only when there is room.

        Raises ``BackupExecutionError`` (cause chained), ``LockHeld``, ``Cancelled``, ``ConfigError``.
        """
        self._space_check = space_check
        lock = self._service.home.lock_file(self._config.name)
        with self._explained(), exclusive(lock, subject=f"{self._config.name!r} is being backed up already"):
            return self._rehearse() if dry_run else self._recorded()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _AS_THEY_ARE:
            raise
        except BackupError as error:
            message = f"the backup of {self._config.name!r} failed: {error}"
            raise BackupExecutionError(message, transient=error.transient) from error

    def _rehearse(self) -> BackupSummary:
        repositories = self._service.repositories
        try:
            with repositories.opened(self._config, tracker=self._tracker, cancel=self._cancel) as opened:
                return self._archive(opened, dry_run=True)
        except NotARepository:
            with repositories.rehearsed(self._config) as opened:
                summary = self._archive(opened, dry_run=True)
        note = "there is no repository yet; the first real backup makes it"
        return replace(
            summary,
            notes=(*summary.notes, note),
            requests={},
            planned=with_creation(summary.planned),
            encrypted=self._config.encrypt,
        )

    def rehearse_anew(self) -> BackupSummary:
        """Only look, as if there were no repository yet."""
        with self._explained(), self._service.repositories.rehearsed(self._config) as opened:
            return self._archive(opened, dry_run=True)

    def _recorded(self) -> BackupSummary:
        history = self._service.catalogue.history
        number = history.begin_run(
            RunRow(
                kind="backup",
                configuration=self._config.name,
                backup_type=self._kind,
                started_at=self._service.clock.now(),
                hostname=default_hostname(),
                pid=os.getpid(),
            )
        )
        try:
            summary = self._in_repository(number)
        except BaseException as error:
            stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
            outcome = Outcome.CANCELLED if stopped else Outcome.FAILED
            self._note_down(number, ended_at=self._service.clock.now(), outcome=outcome.value, error=str(error))
            raise
        lost = self._note_down(number, **run_fields(summary))
        return replace(summary, problems=tuple(dict.fromkeys((*summary.problems, *lost))))

    def _note_down(self, number: int, **fields: object) -> tuple[Problem, ...]:
        return _kept(lambda: self._service.catalogue.history.end_run(number, **fields))

    def _listed(self, opened: OpenRepository, summary: BackupSummary) -> tuple[Problem, ...]:
        def record() -> None:
            self._service.known.add(opened, summary, tags=self._tags)
            self._service.known.note_stored_size(opened)

        return _kept(record)

    def _in_repository(self, number: int) -> BackupSummary:
        repositories = self._service.repositories
        refuse_without_traffic(self._service.webdav_service, self._config)
        with repositories.opened(self._config, create=True, tracker=self._tracker, cancel=self._cancel) as opened:
            summary = self._archive(opened, dry_run=False)
            lost = self._listed(opened, summary)
            summary = summary if lost else watch(self._service, opened, summary)
            forgotten = () if lost else retire_surplus(self._service, opened)
            lost = (*lost, *self._protected(opened))
            summary = replace(
                summary,
                notes=(*opened.notes, *summary.notes, *forgotten),
                problems=(*summary.problems, *lost),
            )
            # What is kept in the repository about this run is to say how it ended.
            lost = self._note_down(number, **run_fields(summary))
            kept = RecordKeeper(self._service).keep(opened)
            return replace(
                summary,
                problems=(*summary.problems, *lost, *kept),
                requests=dict(opened.repository.backend.requests.by_method),
            )

    def _protected(self, opened: OpenRepository) -> tuple[Problem, ...]:
        if (share := self._config.parity_share) is None:
            return ()
        from backup_core.services.repairs.parity import protect

        return protect(opened, share, self._tracker, self._cancel)

    def _archive(self, opened: OpenRepository, *, dry_run: bool) -> BackupSummary:
        service = self._service
        taken = service.known.backup_ids(opened)
        backup_id = new_backup_id(self._config.name, to_local(service.clock.now()), taken)
        scene = scene_of(service, opened, kind=self._kind, backup_id=backup_id)
        options = self._options(backup_id, scene, dry_run=dry_run)
        run = partial(
            run_backup,
            opened.repository,
            options=options,
            clock=service.clock,
            progress=self._tracker,
            cancel=self._cancel,
        )
        if dry_run:
            return run()
        if self._space_check:
            refuse_without_room(service, opened, partial(run, options=replace(options, dry_run=True)))
        with HookedRun(
            self._config.hooks, scene, clock=service.clock, progress=self._tracker, cancel=self._cancel
        ) as hooked:
            summary = run()
            hooked.outcome = summary.outcome
        if hooked.problems:
            outcome = Outcome.COMPLETED_WITH_PROBLEMS
            summary = replace(summary, outcome=outcome, problems=(*summary.problems, *hooked.problems))
        return summary

    def _options(self, backup_id: str, scene: CommandScene, *, dry_run: bool) -> BackupOptions:
        config = self._config
        return BackupOptions(
            sources=tuple(config.source_paths),
            commands=command_sources(config, scene),
            sqlite=config.sqlite_backup,
            kind=self._kind,
            include=tuple(config.include_patterns),
            exclude=tuple(config.exclude_patterns),
            exclude_caches=config.exclude_caches,
            exclude_if_present=tuple(config.exclude_if_present),
            max_file_size=config.max_file_size,
            one_file_system=config.one_file_system,
            case_insensitive=config.case_insensitive,
            compression=config.compression,
            hostname=default_hostname(),
            username=default_username(),
            tags=(f"config:{config.name}", *self._tags),
            backup_id=backup_id,
            dry_run=dry_run,
            workers=config.workers,
        )


def with_creation(planned: PlannedCost | None) -> PlannedCost | None:
    """The same, with the requests for making the repository first."""
    from backup_core.engine.estimating.rehearsal import CREATION

    return None if planned is None else replace(planned, requests=planned.requests + CREATION)


def _kept(record: Callable[[], None]) -> tuple[Problem, ...]:
    # The backup itself is on the server (or its true error is on the way up): a catalogue that fails now must hide
    # neither.
    try:
        record()
    except CatalogueError as error:
        _LOG.error("the run could not be recorded: %s", error)
        message = f"the backup is stored, but the catalogue could not record it: {error}"
        return (Problem("catalogue", message, severity=Severity.HINT),)
    return ()
