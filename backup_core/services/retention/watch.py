"""Looking at each run right after it: does it look like an ordinary day of its configuration?"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from backup_core.catalogue.retention_rows import HoldRow
from backup_core.engine.anomaly import WINDOW, RunFacts, Sign, judge, signs_as_values
from backup_core.errors import CatalogueError
from backup_core.repository.options import default_hostname
from backup_core.results import BackupSummary, Outcome, Problem, Severity
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_MOST_RUNS = 4 * WINDOW
"""Recorded runs that are looked through for ordinary ones: many may have failed."""


def watch(service: BackupService, opened: OpenRepository, summary: BackupSummary) -> BackupSummary:
    """Compare a run that has just stored its backup with its configuration's history.

    One that looks like a disaster pins the last good backup and holds all cleanups until a person has looked; the
    summary returned says so. While a hold waits, further runs are not judged: what they are compared with is what the
    person is to judge. Costs no request.
    """
    name, repository_id = opened.config.name, opened.repository.id
    try:
        if service.catalogue.holds.listed(repository_id=repository_id, configuration=name, released=False):
            return summary
        signs = judge(_facts(summary), _history(service, opened, summary))
        if not signs:
            return summary
        good = _last_good(service, opened, summary)
        _hold(service, opened, summary, signs, good)
    except CatalogueError as error:
        _LOG.error("the run could not be compared with those before it: %s", error)
        text = f"the run could not be compared with those before it: {error}"
        return replace(summary, problems=(*summary.problems, Problem("catalogue", text, severity=Severity.HINT)))
    return replace(
        summary, outcome=Outcome.COMPLETED_WITH_PROBLEMS, problems=(*summary.problems, *_problems(name, signs, good))
    )


def _facts(summary: BackupSummary) -> RunFacts:
    return RunFacts.of(
        {
            "files": summary.files,
            "total_size": summary.total_size,
            "files_new": summary.files_new,
            "changes": asdict(summary.changes),
        }
    )


def _history(service: BackupService, opened: OpenRepository, summary: BackupSummary) -> list[RunFacts]:
    """The ordinary runs of this machine, newest first; without any, what the newest backup says of itself."""
    rows = service.catalogue.history.runs(opened.config.name, kind="backup", limit=_MOST_RUNS)
    made = (Outcome.COMPLETED.value, Outcome.COMPLETED_WITH_PROBLEMS.value)
    ordinary = [
        RunFacts.of(row.figures)
        for row in rows
        if row.outcome in made
        and row.hostname == default_hostname()
        and row.snapshot_id != summary.snapshot_id
        and "changes" in row.figures
    ]
    if ordinary:
        return ordinary[:WINDOW]
    last = _last_good(service, opened, summary)
    return [] if last is None else [RunFacts(files=last.file_count, size=last.total_size)]


def _last_good(service: BackupService, opened: OpenRepository, summary: BackupSummary) -> BackupManifest | None:
    """The newest backup of this machine before the run."""
    own = (b for b in service.known.in_repository(opened) if b.hostname == default_hostname())
    return next((backup for backup in own if backup.snapshot_id != summary.snapshot_id), None)


def _hold(
    service: BackupService,
    opened: OpenRepository,
    summary: BackupSummary,
    signs: list[Sign],
    good: BackupManifest | None,
) -> None:
    if good is not None and service.catalogue.pins.get(good.snapshot_id) is None:
        # Imported late: runs that look like a disaster are rare.
        from backup_core.services.retention.pins import Pins

        reason = f"the last good backup before {summary.backup_id}, which looks like a disaster"
        service.catalogue.pins.add(Pins(service).row(good, reason=reason, hold=summary.snapshot_id))
    service.catalogue.holds.add(
        HoldRow(
            snapshot_id=summary.snapshot_id,
            repository_id=opened.repository.id,
            backup_id=summary.backup_id,
            configuration=opened.config.name,
            good_snapshot_id="" if good is None else good.snapshot_id,
            good_backup_id="" if good is None else good.backup_id,
            signs=list(signs_as_values(signs)),
            begun_at=service.clock.now(),
        )
    )


def _problems(name: str, signs: list[Sign], good: BackupManifest | None) -> list[Problem]:
    kept = f" The last good backup, {good.backup_id}, is pinned." if good is not None else ""
    found = [Problem("looks-like-a-disaster", sign.message) for sign in signs]
    text = (
        f"this run looks like a disaster, so no backup of {name!r} is removed until a person has looked.{kept} "
        f"When all is right: davault hold release {name}"
    )
    _LOG.warning("%s", text)
    return [*found, Problem("held", text)]
