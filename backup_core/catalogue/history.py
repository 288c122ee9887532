"""What was done: runs and validations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import col, func, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.models import RunRow, ValidationRow

RUNNING = "running"
"""The outcome of a run that has not ended."""


class History:
    """Runs and validations of the past."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin_run(self, row: RunRow) -> int:
        """Record that a run has begun; its number."""
        with self._database.writing() as session:
            session.add(row)
            session.flush()
            return int(row.id or 0)

    def end_run(self, number: int, **fields: Any) -> None:
        """Record how a run ended: any fields of ``RunRow``."""
        with self._database.writing() as session:
            row = session.get(RunRow, number)
            if row is not None:
                row.sqlmodel_update(fields)

    def runs(self, configuration: str | None = None, *, kind: str | None = None, limit: int = 50) -> list[RunRow]:
        """Runs, newest first."""
        query = select(RunRow).order_by(col(RunRow.started_at).desc(), col(RunRow.id).desc()).limit(limit)
        if configuration is not None:
            query = query.where(RunRow.configuration == configuration)
        if kind is not None:
            query = query.where(RunRow.kind == kind)
        with self._database.reading() as session:
            return list(session.exec(query))

    def outcomes(self, configuration: str | None = None, *, kind: str) -> dict[str, int]:
        """How many runs of a kind ended in each way."""
        query = select(RunRow.outcome, func.count()).where(RunRow.kind == kind).group_by(RunRow.outcome)
        if configuration is not None:
            query = query.where(RunRow.configuration == configuration)
        with self._database.reading() as session:
            return dict(session.exec(query).all())

    def last_start(self, configuration: str, *, kind: str) -> datetime | None:
        """When the newest run of a configuration began."""
        found = self.runs(configuration, kind=kind, limit=1)
        return found[0].started_at if found else None

    def add_validation(self, row: ValidationRow) -> None:
        """Record a validation."""
        with self._database.writing() as session:
            session.add(row)

    def validations(self, configuration: str | None = None, *, limit: int = 50) -> list[ValidationRow]:
        """Validations, newest first."""
        query = select(ValidationRow).order_by(col(ValidationRow.started_at).desc(), col(ValidationRow.id).desc())
        if configuration is not None:
            query = query.where(ValidationRow.configuration == configuration)
        with self._database.reading() as session:
            return list(session.exec(query.limit(limit)))

    def last_good_validations(self) -> dict[str, datetime]:
        """Snapshot id -> when it was last found whole."""
        query = (
            select(ValidationRow.snapshot_id, ValidationRow.started_at)
            .where(col(ValidationRow.is_valid))
            .order_by(col(ValidationRow.started_at))
        )
        with self._database.reading() as session:
            return dict(session.exec(query).all())

    def sound(self) -> set[str]:
        """Ids of the snapshots whose newest validation found nothing wrong."""
        query = select(ValidationRow.snapshot_id, ValidationRow.is_valid).order_by(
            col(ValidationRow.started_at), col(ValidationRow.id)
        )
        with self._database.reading() as session:
            newest = dict(session.exec(query).all())
        return {snapshot_id for snapshot_id, is_valid in newest.items() if is_valid}
