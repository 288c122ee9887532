"""What stays: pins of people, and holds after runs that looked wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backup_core.catalogue.retention_rows import HoldRow, PinRow
from backup_core.catalogue.statements import Is, Store


class Pins:
    """Backups that stay whatever the rules say."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, row: PinRow) -> None:
        """Remember a pin; one on the same backup is replaced."""
        with self._store.writing() as statements:
            statements.put(row)

    def remove(self, snapshot_ids: Sequence[str]) -> None:
        """Forget pins."""
        with self._store.writing() as statements:
            statements.remove(PinRow, {"snapshot_id": list(snapshot_ids)})

    def get(self, snapshot_id: str) -> PinRow | None:
        """The pin of one backup."""
        with self._store.reading() as statements:
            return statements.get(PinRow, snapshot_id)

    def listed(self, *, repository_id: str | None = None, configuration: str | None = None) -> list[PinRow]:
        """Pins, newest first."""
        where = {"repository_id": repository_id, "configuration": configuration}
        with self._store.reading() as statements:
            return statements.find(PinRow, where, order=("-pinned_at", "snapshot_id"))


class Holds:
    """Runs that looked wrong."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, row: HoldRow) -> None:
        """Remember a hold; one of the same run is replaced."""
        with self._store.writing() as statements:
            statements.put(row)

    def release(self, snapshot_id: str, *, at: datetime, note: str) -> None:
        """Record that a person has looked."""
        with self._store.writing() as statements:
            statements.change(HoldRow, {"snapshot_id": snapshot_id}, {"released_at": at, "note": note})

    def get(self, snapshot_id: str) -> HoldRow | None:
        """The hold of one run."""
        with self._store.reading() as statements:
            return statements.get(HoldRow, snapshot_id)

    def listed(
        self, *, repository_id: str | None = None, configuration: str | None = None, released: bool | None = None
    ) -> list[HoldRow]:
        """Holds, newest first: all, or those that are (or are not) released."""
        ended = None if released is None else Is.GIVEN if released else Is.NULL
        where = {"repository_id": repository_id, "configuration": configuration, "released_at": ended}
        with self._store.reading() as statements:
            return statements.find(HoldRow, where, order=("-begun_at", "snapshot_id"))
