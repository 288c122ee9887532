"""Restore sessions with their live progress."""

from __future__ import annotations

from typing import Any

from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.catalogue.statements import Store


class Restores:
    """Sessions: written by the process that restores, read (and asked to stop) by any."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, row: RestoreSessionRow) -> None:
        """Record a new session."""
        with self._store.writing() as statements:
            statements.add(row)

    def update(self, session_id: str, **fields: Any) -> bool:
        """Change fields of ``RestoreSessionRow``; True when somebody has asked to cancel."""
        here = {"session_id": session_id}
        with self._store.writing() as statements:
            statements.change(RestoreSessionRow, here, fields)
            return (True,) in statements.values(RestoreSessionRow, ("cancel_requested",), here)

    def get(self, session_id: str) -> RestoreSessionRow | None:
        """One session."""
        with self._store.reading() as statements:
            return statements.get(RestoreSessionRow, session_id)

    def listed(self, *, limit: int = 50) -> list[RestoreSessionRow]:
        """Sessions, newest first."""
        with self._store.reading() as statements:
            return statements.find(RestoreSessionRow, order=("-started_at",), limit=limit)
