"""Checking that backups can be restored, at one of three depths."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from backup_core.catalogue.rows import ValidationRow
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Cancelled, ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.results import CheckSummary, Problem, Severity
from backup_core.services.findings import BackupValidationResult
from backup_core.services.mirroring.places import copies_in, named_mirror, opened_mirror
from backup_core.services.moments import to_local
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository
from backup_core.services.vanished import Vanished, vanished_sentence
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

__all__ = ["BackupValidationResult", "BackupValidator"]

_LOG = logging.getLogger(__name__)
_DEPTHS = ("quick", "data", "restore")
_MOST_SENTENCES = 1000


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a validation is done."""

    depth: str
    subset: str | None
    live_source: bool
    scratch: Path | None
    tracker: ProgressTracker
    cancel: CancelToken


class BackupValidator:
    """Validates backups and records what it found."""

    def __init__(self, backup_service: BackupService) -> None:
        self._service = backup_service

    def validate_backup(self, backup_id: str, *, depth: str = "quick") -> BackupValidationResult:
        """Check one backup; see ``validate``."""
        return self.validate([backup_id], depth=depth)[0]

    def validate_all(self, config_name: str | None = None, *, depth: str = "quick") -> list[BackupValidationResult]:
        """Check all backups of a configuration, or all there are; see ``validate``."""
        return self.validate(config_name=config_name, depth=depth)

    def validate(
        self,
        backup_ids: Sequence[str] = (),
        *,
        config_name: str | None = None,
        depth: str = "quick",
        subset: str | None = None,
        live_source: bool = False,
        scratch: Path | None = None,
        mirror: str | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> list[BackupValidationResult]:
        """Check backups: those named, or all of a configuration, or all there are; newest first. With ``mirror`` (its
        client, or ``client:/folder``) it is the copies in that mirror of the configuration that are checked.

        "quick" proves from few listings that everything a backup needs is on the server with the right size; "data"
        also downloads and verifies its content (or ``subset`` of it: "1/7", "5%", "500M"); "restore" restores it into
        ``scratch`` and compares, with ``live_source`` also with the files on this machine.

        A repository that cannot be opened makes its backups invalid when several are checked; when there is only one,
        its error is raised. What no backup id is known of has "" (a repository that could not be listed) or the first
        digits of a snapshot's id (one that is damaged). Raises ``ConfigError`` for wrong arguments, ``Cancelled``.
        """
        if depth not in _DEPTHS:
            raise ConfigError(f"the depth of a validation is one of {', '.join(_DEPTHS)}, not {depth!r}")
        tracker = ProgressTracker(progress, clock=self._service.clock)
        token = cancel or CancelToken()
        how = _Manner(depth, subset, live_source, scratch, tracker, token)
        if mirror is not None:
            return self._on_mirror(config_name, mirror, backup_ids, how)
        groups = self._by_repository(backup_ids, config_name)
        results: dict[str, BackupValidationResult] = {}
        for opener, backups in groups.items():
            try:
                with self._service.opened(
                    opener, tracker=tracker, cancel=token, priority=Priority.VALIDATION
                ) as opened:
                    found = self._check(opened, backups, how)
            except Cancelled:
                raise
            except BackupError as error:
                if len(groups) == 1:
                    raise
                _LOG.error("the backups reached through %s could not be checked: %s", opener, error)
                found = {b.snapshot_id: _unchecked(depth, f"it could not be checked: {error}") for b in backups}
            results |= {b.snapshot_id: self._recorded(b, found[b.snapshot_id]) for b in backups}
        checked = [results[b.snapshot_id] for backups in groups.values() for b in backups]
        if backup_ids:
            return checked
        return [*checked, *self._unreadable(config_name, depth, set(results)), *self._vanished(config_name, depth)]

    def _on_mirror(
        self, config_name: str | None, name: str, backup_ids: Sequence[str], how: _Manner
    ) -> list[BackupValidationResult]:
        """Check the copies in a mirror."""
        if config_name is None:
            raise ConfigError("a mirror belongs to a configuration: say which one")
        config = self._service.configurations.stored(config_name)
        place = named_mirror(config, name)
        problems: list[Problem] = []
        with opened_mirror(
            self._service.repositories,
            config,
            place,
            tracker=how.tracker,
            cancel=how.cancel,
            priority=Priority.VALIDATION,
        ) as opened:
            copies = copies_in(opened, config, problems)
            wanted = [copy for copy in copies if not backup_ids or copy.backup_id in backup_ids]
            if missing := set(backup_ids) - {copy.backup_id for copy in wanted}:
                raise ConfigError(f"the mirror {place.shown} does not hold: {', '.join(sorted(missing))}")
            found = self._check(opened, wanted, how)
        checked = [self._recorded(copy, found[copy.snapshot_id]) for copy in wanted]
        unread = [] if backup_ids else problems
        return [*checked, *(_unreadable_snapshot(problem, how.depth) for problem in unread)]

    def _vanished(self, config_name: str | None, depth: str) -> list[BackupValidationResult]:
        """Backups that were there, are gone, and that nobody recorded forgetting."""
        return [
            BackupValidationResult(row.backup_id, False, 0, 0, (vanished_sentence(row),), depth=depth)
            for row in Vanished(self._service).listed(config_name)
        ]

    def _unreadable(self, config_name: str | None, depth: str, known: set[str]) -> list[BackupValidationResult]:
        """Snapshots and repositories that no list of backups names, because they could not be read."""
        found = [p for p in self._service.known.unreadable(config_name) if p.object_id not in known]
        return [_unreadable_snapshot(problem, depth) for problem in found]

    def _by_repository(self, backup_ids: Sequence[str], config_name: str | None) -> dict[str, list[BackupManifest]]:
        """Backups by the configuration through which their repository is opened."""
        known = self._service.known
        if backup_ids:
            wanted = [known.one(backup_id) for backup_id in backup_ids]
        else:
            wanted = known.listed(config_name, refresh=True, records=True)
        groups: dict[str, list[BackupManifest]] = {}
        for backup in wanted:
            group = groups.setdefault(known.configuration_of(backup), [])
            if backup not in group:
                group.append(backup)
        return groups

    def _check(
        self, opened: OpenRepository, backups: Sequence[BackupManifest], how: _Manner
    ) -> dict[str, CheckSummary]:
        from backup_core.engine.verify import Subset, validate
        from backup_core.engine.verify_packs import Examiners

        wanted = {backup.snapshot_id for backup in backups}
        repository = opened.repository
        problems: list[Problem] = []
        with ExitStack() as stack:
            examiners = stack.enter_context(Examiners())
            if how.depth == "data":
                examiners.fork_early()  # before the lock, whose renewal is a thread
            stack.enter_context(repository.lock_for_reading(cancel=how.cancel))
            snapshots = repository.snapshots(problems=problems, allow_unproved=True, cancel=how.cancel)
            found = validate(
                repository,
                [snapshot for snapshot in snapshots if snapshot.id in wanted],
                depth=cast(Literal["quick", "data", "restore"], how.depth),
                subset=None if how.subset is None else Subset.parse(how.subset),
                scratch=how.scratch,
                live_source=how.live_source,
                clock=self._service.clock,
                progress=how.tracker,
                cancel=how.cancel,
                examiners=examiners,
            )
        reasons = {problem.object_id: problem.message for problem in problems}
        lost = "its snapshot is not in the repository any more"
        unread = {name: _unchecked(how.depth, reasons.get(name, lost)) for name in wanted}
        return unread | {str(snapshot): summary for snapshot, summary in found.items()}

    def _recorded(self, backup: BackupManifest, summary: CheckSummary) -> BackupValidationResult:
        now = self._service.clock.now()
        result = _result(backup, summary)
        self._service.catalogue.history.add_validation(
            ValidationRow(
                backup_id=backup.backup_id,
                snapshot_id=backup.snapshot_id,
                configuration=backup.config_name,
                depth=summary.depth,
                started_at=now,
                seconds=summary.seconds,
                is_valid=summary.is_valid,
                files_checked=summary.files_checked,
                files_passed=summary.files_passed,
                packs_checked=summary.packs_checked,
                bytes_read=summary.bytes_read,
                errors=list(result.errors[:_MOST_SENTENCES]),
                warnings=list(result.warnings[:_MOST_SENTENCES]),
                requests=dict(summary.requests),
            )
        )
        return replace(result, validated_at=to_local(now))


def _result(backup: BackupManifest, summary: CheckSummary) -> BackupValidationResult:
    files = [f"{path}: {reason}" for path, reason in summary.damaged_files.items()]
    grave = [p.message for p in summary.problems if p.severity is Severity.ERROR]
    return BackupValidationResult(
        backup_id=backup.backup_id,
        is_valid=summary.is_valid,
        files_checked=summary.files_checked,
        files_passed=summary.files_passed,
        errors=(*files, *grave),
        warnings=tuple(p.message for p in summary.problems if p.severity is not Severity.ERROR),
        depth=summary.depth,
        packs_checked=summary.packs_checked,
        bytes_read=summary.bytes_read,
        damaged_files=dict(summary.damaged_files),
        seconds=summary.seconds,
        requests=dict(summary.requests),
    )


def _unreadable_snapshot(problem: Problem, depth: str) -> BackupValidationResult:
    return BackupValidationResult(problem.object_id[:8], False, 0, 0, (problem.message,), depth=depth)


def _unchecked(depth: str, why: str) -> CheckSummary:
    problem = Problem("not-checked", why, severity=Severity.ERROR)
    return CheckSummary(
        depth=depth, files_checked=0, files_passed=0, packs_checked=0, bytes_read=0, problems=(problem,)
    )
