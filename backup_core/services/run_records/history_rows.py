"""Runs, between what operations return and what the catalogue keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.history import RUNNING
from backup_core.catalogue.rows import RunRow
from backup_core.repository.options import default_hostname
from backup_core.repository.processes import process_alive
from backup_core.results import BackupSummary, Problem, Severity
from backup_core.services.moments import to_local, to_local_if_any

if TYPE_CHECKING:
    from backup_core.services.listings import RunRecord

_MOST_PROBLEMS = 1000
_FIGURES = (
    "files",
    "files_new",
    "files_changed",
    "files_unchanged",
    "directories",
    "total_size",
    "data_added",
    "stored_size",
    "packs",
    "seconds",
)


def run_fields(summary: BackupSummary) -> dict[str, Any]:
    """The fields of ``RunRow`` that a backup's summary fills."""
    return {
        "backup_id": summary.backup_id,
        "snapshot_id": summary.snapshot_id,
        "backup_type": summary.backup_type,
        "ended_at": summary.ended,
        "outcome": summary.outcome.value,
        "figures": {name: getattr(summary, name) for name in _FIGURES}
        | {"problems": len(summary.problems), "changes": asdict(summary.changes)},
        "requests": dict(summary.requests),
        "seconds_by_stage": dict(summary.seconds_by_stage),
        "problems": stored_problems(summary.problems),
    }


def stored_problems(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Problems as plain values; the first thousand, since a lost disk makes millions."""
    return [
        {
            "kind": p.kind,
            "message": p.message,
            "path": p.path,
            "object_id": p.object_id,
            "severity": p.severity.value,
        }
        for p, _ in zip(problems, range(_MOST_PROBLEMS), strict=False)
    ]


def run_record(row: RunRow) -> RunRecord:
    """A run as people see it; one whose process is gone was interrupted."""
    from backup_core.services.listings import RunRecord

    gone = row.outcome == RUNNING and row.hostname == default_hostname() and not process_alive(row.pid)
    return RunRecord(
        run_id=row.id or 0,
        kind=row.kind,
        config_name=row.configuration,
        started_at=to_local(row.started_at),
        ended_at=to_local_if_any(row.ended_at),
        outcome="interrupted" if gone else row.outcome,
        backup_id=row.backup_id,
        backup_type=row.backup_type,
        error=row.error,
        figures=row.figures,
        requests=row.requests,
        seconds_by_stage=row.seconds_by_stage,
        problems=tuple(
            Problem(p["kind"], p["message"], p["path"], p["object_id"], Severity(p["severity"])) for p in row.problems
        ),
    )
