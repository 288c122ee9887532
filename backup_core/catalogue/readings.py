"""Measurements of storage over time."""

from __future__ import annotations

from collections.abc import Sequence

from backup_core.catalogue.backups import KnownSpace
from backup_core.catalogue.reading_rows import SpaceReadingRow, StorageReadingRow
from backup_core.catalogue.statements import Store

_OLDEST_FIRST = ("at", "id")


class Readings:
    """What was measured, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_storage(self, rows: Sequence[StorageReadingRow]) -> None:
        """Record what configurations take now."""
        with self._store.writing() as statements:
            for row in rows:
                statements.add(row)

    def storage(self) -> list[StorageReadingRow]:
        """All readings of configurations."""
        with self._store.reading() as statements:
            return statements.find(StorageReadingRow, order=_OLDEST_FIRST)

    def add_space(self, row: SpaceReadingRow) -> None:
        """Record how full an account is now."""
        with self._store.writing() as statements:
            statements.add(row)

    def space(self, client: str | None = None) -> list[SpaceReadingRow]:
        """All readings of accounts, or those of one client."""
        with self._store.reading() as statements:
            return statements.find(SpaceReadingRow, {"client": client}, order=_OLDEST_FIRST)

    def last_spaces(self) -> list[KnownSpace]:
        """The newest reading of each account, by client."""
        newest = {row.client: row for row in self.space()}
        return [KnownSpace(name, row.used, row.available, row.at) for name, row in sorted(newest.items())]
