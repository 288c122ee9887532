"""What was done: runs and validations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.catalogue.statements import Store

RUNNING = "running"
"""The outcome of a run that has not ended."""


class History:
    """Runs and validations of the past."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin_run(self, row: RunRow) -> int:
        """Record that a run has begun; its number."""
        with self._store.writing() as statements:
            return statements.add_numbered(row)

    def end_run(self, number: int, **fields: Any) -> None:
        """Record how a run ended: any fields of ``RunRow``."""
        with self._store.writing() as statements:
            statements.change(RunRow, {"id": number}, fields)

    def runs(self, configuration: str | None = None, *, kind: str | None = None, limit: int = 50) -> list[RunRow]:
        """Runs, newest first."""
        where = {"configuration": configuration, "kind": kind}
        with self._store.reading() as statements:
            return statements.find(RunRow, where, order=("-started_at", "-id"), limit=limit)

    def outcomes(self, configuration: str | None = None, *, kind: str) -> dict[str, int]:
        """How many runs of a kind ended in each way."""
        where = {"configuration": configuration, "kind": kind}
        with self._store.reading() as statements:
            return dict(statements.grouped(RunRow, ("outcome",), ("count(*)",), where))

    def last_start(self, configuration: str, *, kind: str) -> datetime | None:
        """When the newest run of a configuration began."""
        found = self.runs(configuration, kind=kind, limit=1)
        return found[0].started_at if found else None

    def add_validation(self, row: ValidationRow) -> None:
        """Record a validation."""
        with self._store.writing() as statements:
            statements.add(row)

    def validations(self, configuration: str | None = None, *, limit: int = 50) -> list[ValidationRow]:
        """Validations, newest first."""
        where = {"configuration": configuration}
        with self._store.reading() as statements:
            return statements.find(ValidationRow, where, order=("-started_at", "-id"), limit=limit)

    def last_good_validations(self) -> dict[str, datetime]:
        """Snapshot id -> when it was last found whole."""
        wanted = ("snapshot_id", "started_at")
        with self._store.reading() as statements:
            return dict(statements.values(ValidationRow, wanted, {"is_valid": True}, order=("started_at",)))

    def sound(self) -> set[str]:
        """Ids of the snapshots whose newest validation found nothing wrong."""
        wanted = ("snapshot_id", "is_valid")
        with self._store.reading() as statements:
            newest = dict(statements.values(ValidationRow, wanted, order=("started_at", "id")))
        return {snapshot_id for snapshot_id, is_valid in newest.items() if is_valid}
