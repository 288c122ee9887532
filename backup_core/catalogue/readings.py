"""Measurements of storage over time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select

from backup_core.catalogue.backups import KnownSpace
from backup_core.catalogue.database import Database
from backup_core.catalogue.reading_models import SpaceReadingRow, StorageReadingRow


class Readings:
    """What was measured, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_storage(self, rows: Sequence[StorageReadingRow]) -> None:
        """Record what configurations take now."""
        with self._database.writing() as session:
            session.add_all(rows)

    def storage(self) -> list[StorageReadingRow]:
        """All readings of configurations."""
        query = select(StorageReadingRow).order_by(col(StorageReadingRow.at), col(StorageReadingRow.id))
        with self._database.reading() as session:
            return list(session.exec(query))

    def add_space(self, row: SpaceReadingRow) -> None:
        """Record how full an account is now."""
        with self._database.writing() as session:
            session.add(row)

    def space(self, client: str | None = None) -> list[SpaceReadingRow]:
        """All readings of accounts, or those of one client."""
        query = select(SpaceReadingRow).order_by(col(SpaceReadingRow.at), col(SpaceReadingRow.id))
        if client is not None:
            query = query.where(SpaceReadingRow.client == client)
        with self._database.reading() as session:
            return list(session.exec(query))

    def last_spaces(self) -> list[KnownSpace]:
        """The newest reading of each account, by client."""
        newest = {row.client: row for row in self.space()}
        return [KnownSpace(name, row.used, row.available, row.at) for name, row in sorted(newest.items())]
