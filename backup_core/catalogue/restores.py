"""Restore sessions with their live progress."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.restore_models import RestoreSessionRow


class Restores:
    """Sessions: written by the process that restores, read (and asked to stop) by any."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: RestoreSessionRow) -> None:
        """Record a new session."""
        with self._database.writing() as session:
            session.add(row)

    def update(self, session_id: str, **fields: Any) -> bool:
        """Change fields of ``RestoreSessionRow``; True when somebody has asked to cancel."""
        with self._database.writing() as session:
            row = session.get(RestoreSessionRow, session_id)
            if row is None:
                return False
            row.sqlmodel_update(fields)
            return row.cancel_requested

    def get(self, session_id: str) -> RestoreSessionRow | None:
        """One session."""
        with self._database.reading() as session:
            return session.get(RestoreSessionRow, session_id)

    def listed(self, *, limit: int = 50) -> list[RestoreSessionRow]:
        """Sessions, newest first."""
        query = select(RestoreSessionRow).order_by(col(RestoreSessionRow.started_at).desc()).limit(limit)
        with self._database.reading() as session:
            return list(session.exec(query))
