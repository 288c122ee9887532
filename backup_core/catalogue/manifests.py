"""The mirror of the snapshots on the servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func
from sqlmodel import Session, col, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from backup_core.catalogue.backups import KnownBackup, Totals
from backup_core.catalogue.database import Database
from backup_core.catalogue.models import ManifestRow

SHORTEST_PREFIX = 8
"""Digits of a snapshot id that name it."""
_FIELDS = tuple(field.name for field in fields(KnownBackup))
# Columns instead of whole rows: to make an object that can be saved again takes twenty times as long.
_KNOWN: SelectOfScalar[Any] = select(*(getattr(ManifestRow, name) for name in _FIELDS))
_ID = col(ManifestRow.snapshot_id)


class Manifests:
    """Backups, as the snapshots on the servers told of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, backup: KnownBackup) -> None:
        """Record a backup; one that is known is replaced."""
        with self._database.writing() as session:
            session.merge(_row(backup))

    def remove(self, snapshot_ids: Sequence[str]) -> None:
        """Forget backups."""
        with self._database.writing() as session:
            session.exec(delete(ManifestRow).where(_ID.in_(snapshot_ids)))

    def mirror(
        self, repository_id: str, backups: Sequence[KnownBackup], *, keep: Sequence[str] | None = ()
    ) -> list[KnownBackup]:
        """Make the catalogue show exactly ``backups`` for this repository, and the snapshots ``keep`` (None: all) as it
        knows them; those that are gone. What is known already stays as it is, since it may hold more than the
        snapshot tells."""
        wanted = {backup.snapshot_id: backup for backup in backups}
        with self._database.writing() as session:
            known = _ids_of(session, repository_id)
            lost = known - wanted.keys() - (known if keep is None else set(keep))
            gone = [backup for digits in lost for backup in _read(session, _KNOWN.where(digits == _ID))]
            for digits in lost:
                session.exec(delete(ManifestRow).where(_ID.in_([digits])))
            for new in wanted.keys() - known:
                session.merge(_row(wanted[new]))
        return gone

    def snapshot_ids(self, repository_id: str) -> set[str]:
        """Those of all backups known of a repository."""
        with self._database.reading() as session:
            return _ids_of(session, repository_id)

    def listed(
        self, configuration: str | None = None, *, repository_id: str | None = None, limit: int | None = None
    ) -> list[KnownBackup]:
        """Backups, newest first: all, or those of a configuration, or those of a repository."""
        query = _KNOWN.order_by(col(ManifestRow.created_at).desc(), col(ManifestRow.backup_id).desc())
        if configuration is not None:
            query = query.where(ManifestRow.configuration == configuration)
        if repository_id is not None:
            query = query.where(ManifestRow.repository_id == repository_id)
        with self._database.reading() as session:
            return _read(session, query if limit is None else query.limit(limit))

    def find(self, backup_id: str) -> list[KnownBackup]:
        """Backups of this id, or whose snapshot id begins with it (8 digits or more)."""
        named = ManifestRow.backup_id == backup_id
        by_snapshot = len(backup_id) >= SHORTEST_PREFIX and all(c in "0123456789abcdef" for c in backup_id)
        condition = or_(named, _ID.startswith(backup_id)) if by_snapshot else named
        with self._database.reading() as session:
            return _read(session, _KNOWN.where(condition))

    def totals(self, configuration: str | None = None) -> list[Totals]:
        """Sums by repository, configuration and type."""
        query = select(  # type: ignore[call-overload]  # sqlmodel declares select() for at most four columns
            ManifestRow.repository_id,
            ManifestRow.configuration,
            ManifestRow.backup_type,
            func.count(),
            func.sum(ManifestRow.total_size),
            func.sum(ManifestRow.data_added),
            func.sum(ManifestRow.stored_size),
            func.min(ManifestRow.created_at),
            func.max(ManifestRow.created_at),
        ).group_by(ManifestRow.repository_id, ManifestRow.configuration, ManifestRow.backup_type)
        if configuration is not None:
            query = query.where(ManifestRow.configuration == configuration)
        with self._database.reading() as session:
            return [Totals(*row[:4], *map(int, row[4:7]), *row[7:]) for row in session.exec(query)]

    def sizes_over_time(self, configuration: str | None = None) -> list[tuple[datetime, int, int]]:
        """(when, stored bytes, logical bytes) of each backup, oldest first."""
        query = select(ManifestRow.created_at, ManifestRow.stored_size, ManifestRow.total_size).order_by(
            col(ManifestRow.created_at)
        )
        if configuration is not None:
            query = query.where(ManifestRow.configuration == configuration)
        with self._database.reading() as session:
            return [(at, stored, logical) for at, stored, logical in session.exec(query)]


def _ids_of(session: Session, repository_id: str) -> set[str]:
    return set(session.exec(select(ManifestRow.snapshot_id).where(ManifestRow.repository_id == repository_id)))


def _read(session: Session, query: SelectOfScalar[Any]) -> list[KnownBackup]:
    return [KnownBackup(**dict(zip(_FIELDS, row, strict=True))) for row in session.exec(query)]


def _row(backup: KnownBackup) -> ManifestRow:
    return ManifestRow(**{name: getattr(backup, name) for name in _FIELDS})
