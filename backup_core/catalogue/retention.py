"""What stays: pins of people, and holds after runs that looked wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete
from sqlmodel import col, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.retention_models import HoldRow, PinRow


class Pins:
    """Backups that stay whatever the rules say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: PinRow) -> None:
        """Remember a pin; one on the same backup is replaced."""
        with self._database.writing() as session:
            session.merge(row)

    def remove(self, snapshot_ids: Sequence[str]) -> None:
        """Forget pins."""
        with self._database.writing() as session:
            session.exec(delete(PinRow).where(col(PinRow.snapshot_id).in_(snapshot_ids)))

    def get(self, snapshot_id: str) -> PinRow | None:
        """The pin of one backup."""
        with self._database.reading() as session:
            return session.get(PinRow, snapshot_id)

    def listed(self, *, repository_id: str | None = None, configuration: str | None = None) -> list[PinRow]:
        """Pins, newest first."""
        query = select(PinRow).order_by(col(PinRow.pinned_at).desc(), PinRow.snapshot_id)
        if repository_id is not None:
            query = query.where(PinRow.repository_id == repository_id)
        if configuration is not None:
            query = query.where(PinRow.configuration == configuration)
        with self._database.reading() as session:
            return list(session.exec(query))


class Holds:
    """Runs that looked wrong."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: HoldRow) -> None:
        """Remember a hold; one of the same run is replaced."""
        with self._database.writing() as session:
            session.merge(row)

    def release(self, snapshot_id: str, *, at: datetime, note: str) -> None:
        """Record that a person has looked."""
        with self._database.writing() as session:
            row = session.get(HoldRow, snapshot_id)
            if row is not None:
                row.released_at, row.note = at, note

    def get(self, snapshot_id: str) -> HoldRow | None:
        """The hold of one run."""
        with self._database.reading() as session:
            return session.get(HoldRow, snapshot_id)

    def listed(
        self, *, repository_id: str | None = None, configuration: str | None = None, released: bool | None = None
    ) -> list[HoldRow]:
        """Holds, newest first: all, or those that are (or are not) released."""
        query = select(HoldRow).order_by(col(HoldRow.begun_at).desc(), HoldRow.snapshot_id)
        if repository_id is not None:
            query = query.where(HoldRow.repository_id == repository_id)
        if configuration is not None:
            query = query.where(HoldRow.configuration == configuration)
        if released is not None:
            ended = col(HoldRow.released_at)
            query = query.where(ended.is_not(None) if released else ended.is_(None))
        with self._database.reading() as session:
            return list(session.exec(query))
