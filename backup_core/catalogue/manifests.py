"""The mirror of the snapshots on the servers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backup_core.catalogue.backups import KnownBackup, Totals
from backup_core.catalogue.statements import Statements, Store

SHORTEST_PREFIX = 8
"""Digits of a snapshot id that name it."""
_SUMS = (
    "count(*)", "sum(total_size)", "sum(data_added)", "sum(stored_size)", "min(created_at)", "max(created_at)"
)  # fmt: skip


class Manifests:
    """Backups, as the snapshots on the servers told of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, backup: KnownBackup) -> None:
        """Record a backup; one that is known is replaced."""
        with self._store.writing() as statements:
            statements.put(backup)

    def remove(self, snapshot_ids: Sequence[str]) -> None:
        """Forget backups."""
        with self._store.writing() as statements:
            _forget(statements, snapshot_ids)

    def mirror(
        self, repository_id: str, backups: Sequence[KnownBackup], *, keep: Sequence[str] | None = ()
    ) -> list[KnownBackup]:
        """Make the catalogue show exactly ``backups`` for this repository, and the snapshots ``keep`` (None: all) as it
        knows them; those that are gone. What is known already stays as it is, since it may hold more than the
        snapshot tells."""
        wanted = {backup.snapshot_id: backup for backup in backups}
        with self._store.writing() as statements:
            known = _ids_of(statements, repository_id)
            lost = known - wanted.keys() - (known if keep is None else set(keep))
            gone = [found for digits in lost if (found := statements.get(KnownBackup, digits)) is not None]
            _forget(statements, list(lost))
            for new in wanted.keys() - known:
                statements.put(wanted[new])
        return gone

    def snapshot_ids(self, repository_id: str) -> set[str]:
        """Those of all backups known of a repository."""
        with self._store.reading() as statements:
            return _ids_of(statements, repository_id)

    def listed(
        self, configuration: str | None = None, *, repository_id: str | None = None, limit: int | None = None
    ) -> list[KnownBackup]:
        """Backups, newest first: all, or those of a configuration, or those of a repository."""
        where = {"configuration": configuration, "repository_id": repository_id}
        with self._store.reading() as statements:
            return statements.find(KnownBackup, where, order=("-created_at", "-backup_id"), limit=limit)

    def find(self, backup_id: str) -> list[KnownBackup]:
        """Backups of this id, or whose snapshot id begins with it (8 digits or more)."""
        by_snapshot = len(backup_id) >= SHORTEST_PREFIX and all(c in "0123456789abcdef" for c in backup_id)
        with self._store.reading() as statements:
            found = statements.find(KnownBackup, {"backup_id": backup_id})
            if by_snapshot:
                rest = ' WHERE "snapshot_id" LIKE :prefix AND "backup_id" <> :name'
                found += statements.chosen(KnownBackup, rest, {"prefix": backup_id + "%", "name": backup_id})
            return found

    def totals(self, configuration: str | None = None) -> list[Totals]:
        """Sums by repository, configuration and type."""
        by = ("repository_id", "configuration", "backup_type")
        with self._store.reading() as statements:
            rows = statements.grouped(KnownBackup, by, _SUMS, {"configuration": configuration})
            return [Totals(*row[:4], *map(int, row[4:7]), *map(statements.moment, row[7:])) for row in rows]

    def sizes_over_time(self, configuration: str | None = None) -> list[tuple[datetime, int, int]]:
        """(when, stored bytes, logical bytes) of each backup, oldest first."""
        wanted = ("created_at", "stored_size", "total_size")
        with self._store.reading() as statements:
            rows = statements.values(KnownBackup, wanted, {"configuration": configuration}, order=("created_at",))
            return [(at, stored, logical) for at, stored, logical in rows]


def _forget(statements: Statements, snapshot_ids: Sequence[str]) -> None:
    # One by one: databases limit how many values a condition may list.
    for digits in snapshot_ids:
        statements.remove(KnownBackup, {"snapshot_id": digits})


def _ids_of(statements: Statements, repository_id: str) -> set[str]:
    return {digits for (digits,) in statements.values(KnownBackup, ("snapshot_id",), {"repository_id": repository_id})}
