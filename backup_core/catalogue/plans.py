"""Disaster-recovery plans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import col, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.disaster_models import PlanEventRow, PlanRow


class Plans:
    """Disaster-recovery plans and what became of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, plan_id: str, name: str, record: dict[str, Any], now: datetime) -> None:
        """Add or replace a plan."""
        with self._database.writing() as session:
            known = session.get(PlanRow, plan_id)
            session.merge(
                PlanRow(plan_id=plan_id, name=name, record=record, created_at=known.created_at if known else now)
            )

    def get(self, plan_id: str) -> PlanRow | None:
        """One plan."""
        with self._database.reading() as session:
            return session.get(PlanRow, plan_id)

    def remove(self, plan_id: str) -> bool:
        """Forget a plan (not its tests, drills and executions); False when it was unknown."""
        with self._database.writing() as session:
            row = session.get(PlanRow, plan_id)
            if row is not None:
                session.delete(row)
            return row is not None

    def listed(self) -> list[PlanRow]:
        """All plans, oldest first."""
        with self._database.reading() as session:
            return list(session.exec(select(PlanRow).order_by(col(PlanRow.created_at), PlanRow.plan_id)))

    def add_event(self, row: PlanEventRow) -> None:
        """Record a test or an execution."""
        with self._database.writing() as session:
            session.add(row)

    def last_event(self, plan_id: str, kind: str) -> PlanEventRow | None:
        """The newest test or execution of a plan."""
        query = (
            select(PlanEventRow)
            .where(PlanEventRow.plan_id == plan_id, PlanEventRow.kind == kind)
            .order_by(col(PlanEventRow.at).desc(), col(PlanEventRow.id).desc())
        )
        with self._database.reading() as session:
            return session.exec(query).first()
