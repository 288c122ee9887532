"""Disaster-recovery plans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backup_core.catalogue.disaster_rows import PlanEventRow, PlanRow
from backup_core.catalogue.statements import Store


class Plans:
    """Disaster-recovery plans and what became of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, plan_id: str, name: str, record: dict[str, Any], now: datetime) -> None:
        """Add or replace a plan."""
        with self._store.writing() as statements:
            known = statements.get(PlanRow, plan_id)
            begun = known.created_at if known else now
            statements.put(PlanRow(plan_id=plan_id, name=name, record=record, created_at=begun))

    def get(self, plan_id: str) -> PlanRow | None:
        """One plan."""
        with self._store.reading() as statements:
            return statements.get(PlanRow, plan_id)

    def remove(self, plan_id: str) -> bool:
        """Forget a plan (not its tests, drills and executions); False when it was unknown."""
        with self._store.writing() as statements:
            known = statements.get(PlanRow, plan_id) is not None
            statements.remove(PlanRow, {"plan_id": plan_id})
            return known

    def listed(self) -> list[PlanRow]:
        """All plans, oldest first."""
        with self._store.reading() as statements:
            return statements.find(PlanRow, order=("created_at", "plan_id"))

    def add_event(self, row: PlanEventRow) -> None:
        """Record a test or an execution."""
        with self._store.writing() as statements:
            statements.add(row)

    def last_event(self, plan_id: str, kind: str) -> PlanEventRow | None:
        """The newest test or execution of a plan."""
        where = {"plan_id": plan_id, "kind": kind}
        with self._store.reading() as statements:
            found = statements.find(PlanEventRow, where, order=("-at", "-id"), limit=1)
            return found[0] if found else None
