"""Drills and executions of disaster-recovery plans, from which history is read and executions are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import col, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.disaster_models import RecoveryRunRow, RecoveryStepRow


class RecoveryRuns:
    """Runs of plans, with their steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run: RecoveryRunRow, steps: Sequence[RecoveryStepRow]) -> None:
        """Record a run with all its steps, before anything is done."""
        with self._database.writing() as session:
            session.add(run)
            session.add_all(steps)

    def update(self, run_id: str, **fields: Any) -> None:
        """Change fields of ``RecoveryRunRow``."""
        with self._database.writing() as session:
            row = session.get(RecoveryRunRow, run_id)
            if row is not None:
                row.sqlmodel_update(fields)

    def update_step(self, run_id: str, name: str, **fields: Any) -> None:
        """Change fields of ``RecoveryStepRow``."""
        query = select(RecoveryStepRow).where(RecoveryStepRow.run_id == run_id, RecoveryStepRow.name == name)
        with self._database.writing() as session:
            row = session.exec(query).one_or_none()
            if row is not None:
                row.sqlmodel_update(fields)

    def get(self, run_id: str) -> RecoveryRunRow | None:
        """One run."""
        with self._database.reading() as session:
            return session.get(RecoveryRunRow, run_id)

    def steps(self, run_id: str) -> list[RecoveryStepRow]:
        """The steps of a run, in the plan's order."""
        query = select(RecoveryStepRow).where(RecoveryStepRow.run_id == run_id).order_by(col(RecoveryStepRow.position))
        with self._database.reading() as session:
            return list(session.exec(query))

    def listed(
        self, plan_id: str | None = None, *, kind: str | None = None, limit: int | None = None
    ) -> list[RecoveryRunRow]:
        """Runs, newest first."""
        query = select(RecoveryRunRow).order_by(
            col(RecoveryRunRow.started_at).desc(), col(RecoveryRunRow.run_id).desc()
        )
        if plan_id is not None:
            query = query.where(RecoveryRunRow.plan_id == plan_id)
        if kind is not None:
            query = query.where(RecoveryRunRow.kind == kind)
        with self._database.reading() as session:
            return list(session.exec(query if limit is None else query.limit(limit)))
