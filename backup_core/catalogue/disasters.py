"""Drills and executions of disaster-recovery plans, from which history is read and executions are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backup_core.catalogue.disaster_rows import RecoveryRunRow, RecoveryStepRow
from backup_core.catalogue.statements import Store


class RecoveryRuns:
    """Runs of plans, with their steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, run: RecoveryRunRow, steps: Sequence[RecoveryStepRow]) -> None:
        """Record a run with all its steps, before anything is done."""
        with self._store.writing() as statements:
            for row in (run, *steps):
                statements.add(row)

    def update(self, run_id: str, **fields: Any) -> None:
        """Change fields of ``RecoveryRunRow``."""
        with self._store.writing() as statements:
            statements.change(RecoveryRunRow, {"run_id": run_id}, fields)

    def update_step(self, run_id: str, name: str, **fields: Any) -> None:
        """Change fields of ``RecoveryStepRow``."""
        with self._store.writing() as statements:
            statements.change(RecoveryStepRow, {"run_id": run_id, "name": name}, fields)

    def get(self, run_id: str) -> RecoveryRunRow | None:
        """One run."""
        with self._store.reading() as statements:
            return statements.get(RecoveryRunRow, run_id)

    def steps(self, run_id: str) -> list[RecoveryStepRow]:
        """The steps of a run, in the plan's order."""
        with self._store.reading() as statements:
            return statements.find(RecoveryStepRow, {"run_id": run_id}, order=("position",))

    def listed(
        self, plan_id: str | None = None, *, kind: str | None = None, limit: int | None = None
    ) -> list[RecoveryRunRow]:
        """Runs, newest first."""
        where = {"plan_id": plan_id, "kind": kind}
        with self._store.reading() as statements:
            return statements.find(RecoveryRunRow, where, order=("-started_at", "-run_id"), limit=limit)
