"""The catalogue as frames. One reading of the database gives all of them, and nothing else touches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any

import pandas as pd

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import RecoveryRunRow
from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.catalogue.rows import RunRow
from backup_core.deferred import dataclass
from backup_core.engine.local_zone import LocalZone
from backup_core.reports import schema

GOOD_OUTCOMES = frozenset(("completed", "completed with problems"))
_EVERYTHING = 1_000_000
"""Rows: more than any catalogue holds."""


@dataclass(frozen=True)
class Frames:
    """All frames of one catalogue at one moment; ``schema`` explains the columns of each."""

    backups: pd.DataFrame
    runs: pd.DataFrame
    requests: pd.DataFrame
    readings: pd.DataFrame
    spaces: pd.DataFrame
    validations: pd.DataFrame
    restores: pd.DataFrame
    drills: pd.DataFrame
    clients: Mapping[str, str]
    """Configuration -> the client it stores at."""
    zone: tzinfo
    """In which days begin."""

    @property
    def configurations(self) -> list[str]:
        """Names of all that have ever run or are set up, sorted; not ""."""
        seen = {*self.backups["configuration"], *self.runs["configuration"], *self.clients}
        return sorted(seen - {""})

    def days(self, moments: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
        """The local midnight of each moment's day, without a zone."""
        # A zone of the machine knows its offset only moment by moment, so this is no vectorised conversion.
        local = [moment.to_pydatetime().astimezone(self.zone).replace(tzinfo=None) for moment in moments]
        days = pd.Series(pd.to_datetime(local), index=moments.index, dtype=schema.DAY)
        return days.dt.normalize()


def load_frames(catalogue: Catalogue, *, zone: tzinfo | None = None) -> Frames:
    """Read everything that the catalogue knows. ``zone`` is that in which days begin, by default the machine's.

    Raises ``CatalogueError``.
    """
    clients = {row.name: row.client for row in catalogue.setups.configurations()}
    runs = catalogue.history.runs(limit=_EVERYTHING)[::-1]
    return Frames(
        backups=schema.BACKUPS.frame(_backups(catalogue)),
        runs=schema.RUNS.frame(_run(row) for row in runs),
        requests=schema.REQUESTS.frame(record for row in runs for record in _requests(row, clients)),
        readings=schema.READINGS.frame(_readings(catalogue)),
        spaces=schema.SPACES.frame(_spaces(catalogue)),
        validations=schema.VALIDATIONS.frame(_validations(catalogue)),
        restores=schema.RESTORES.frame(
            _restore(row) for row in catalogue.restores.listed(limit=_EVERYTHING)[::-1] if row.ended_at is not None
        ),
        drills=schema.DRILLS.frame(_drill(row) for row in catalogue.recoveries.listed()[::-1]),
        clients=clients,
        zone=zone or LocalZone(),
    )


def _backups(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for row in reversed(catalogue.manifests.listed()):
        yield {
            "backup_id": row.backup_id,
            "configuration": row.configuration,
            "kind": row.backup_type,
            "at": row.created_at,
            "files": row.files,
            "logical_bytes": row.total_size,
            "new_bytes": row.data_added,
            "stored_bytes": row.stored_size,
            "problems": row.problems,
            "encrypted": row.encrypted,
        }


def _run(row: RunRow) -> dict[str, Any]:
    figures = row.figures
    return {
        "run_id": row.id,
        "kind": row.kind,
        "configuration": row.configuration,
        "backup_id": row.backup_id,
        "started": row.started_at,
        "seconds": _seconds(row),
        "outcome": row.outcome,
        "good": row.outcome in GOOD_OUTCOMES,
        "files": figures.get("files", 0),
        "changed_files": figures.get("files_new", 0) + figures.get("files_changed", 0),
        "logical_bytes": figures.get("total_size", 0),
        "new_bytes": figures.get("data_added", 0),
        "stored_bytes": figures.get("stored_size", 0),
        "requests": sum(row.requests.values()),
        "problems": figures.get("problems", len(row.problems)),
        "error": row.error,
    }


def _seconds(row: RunRow) -> float:
    return (row.ended_at - row.started_at).total_seconds() if row.ended_at is not None else float("nan")


def _requests(row: RunRow, clients: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for method, count in sorted(row.requests.items()):
        yield {
            "run_id": row.id,
            "configuration": row.configuration,
            "client": clients.get(row.configuration, ""),
            "started": row.started_at,
            "seconds": _seconds(row),
            "method": method,
            "requests": count,
        }


def _readings(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for row in catalogue.readings.storage():
        yield {
            "at": row.at,
            "configuration": row.configuration,
            "repository_id": row.repository_id,
            "stored_bytes": row.stored_bytes,
            "kept_bytes": row.kept_bytes,
            "newest_bytes": row.newest_bytes,
            "backups": row.backups,
        }


def _spaces(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for row in catalogue.readings.space():
        yield {"at": row.at, "client": row.client, "used_bytes": row.used, "available_bytes": row.available}


def _validations(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for row in reversed(catalogue.history.validations(limit=_EVERYTHING)):
        yield {
            "at": row.started_at,
            "configuration": row.configuration,
            "backup_id": row.backup_id,
            "depth": row.depth,
            "valid": row.is_valid,
            "files_checked": row.files_checked,
            "bytes_read": row.bytes_read,
            "seconds": row.seconds,
        }


def _restore(row: RestoreSessionRow) -> dict[str, Any]:
    ended = row.ended_at or row.updated_at
    return {
        "started": row.started_at,
        "configuration": row.configuration,
        "backup_id": row.backup_id,
        "status": row.status,
        "seconds": (ended - row.started_at).total_seconds(),
        "files": row.figures.get("files_restored", row.files_done),
        "logical_bytes": row.figures.get("bytes_restored", row.bytes_done),
    }


def _drill(row: RecoveryRunRow) -> dict[str, Any]:
    nan = float("nan")
    late = row.rto is not None and row.rto_target is not None and row.rto > row.rto_target
    stale = row.rpo is not None and row.rpo_target is not None and row.rpo > row.rpo_target
    return {
        "started": row.started_at,
        "plan": row.plan_name,
        "kind": row.kind,
        "state": row.state,
        "rto_seconds": nan if row.rto is None else row.rto,
        "rto_target_seconds": nan if row.rto_target is None else row.rto_target,
        "rpo_seconds": nan if row.rpo is None else row.rpo,
        "rpo_target_seconds": nan if row.rpo_target is None else row.rpo_target,
        "met": row.state == "completed" and not late and not stale,
    }
