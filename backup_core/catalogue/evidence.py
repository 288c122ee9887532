"""Which snapshots are gone, and whether somebody said so beforehand.

Whoever removes a snapshot on purpose records it here *before* it is removed. A snapshot that the catalogue knew, that a
listing proved to be complete does not show, and of which nothing is recorded, has vanished: somebody with access to the
server, or the server itself, took it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.evidence_rows import Fate, GoneSnapshotRow
from backup_core.catalogue.statements import Store


class Evidence:
    """Snapshots that were there once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(
        self, backups: Sequence[KnownBackup], fate: Fate, *, at: datetime, hostname: str, reason: str = ""
    ) -> list[KnownBackup]:
        """Record what becomes of these backups; those of which something was recorded already are left as they are,
        except that a person's word (``FORGOTTEN``, ``ACCEPTED``) replaces ``VANISHED``. Returns those recorded now."""
        noted = []
        with self._store.writing() as statements:
            for backup in backups:
                known = statements.get(GoneSnapshotRow, backup.snapshot_id)
                if known is not None and (fate is Fate.VANISHED or known.fate != Fate.VANISHED):
                    continue
                noted.append(backup)
                statements.put(
                    GoneSnapshotRow(
                        snapshot_id=backup.snapshot_id,
                        repository_id=backup.repository_id,
                        backup_id=backup.backup_id,
                        configuration=backup.configuration,
                        created_at=backup.created_at,
                        fate=fate.value,
                        at=at,
                        hostname=hostname,
                        reason=reason,
                    )
                )
        return noted

    def accept(self, snapshot_ids: Sequence[str], *, at: datetime, hostname: str) -> None:
        """A person says that it is right that these vanished."""
        accepted = {"fate": Fate.ACCEPTED.value, "at": at, "hostname": hostname}
        with self._store.writing() as statements:
            for snapshot_id in snapshot_ids:
                vanished = {"snapshot_id": snapshot_id, "fate": Fate.VANISHED.value}
                statements.change(GoneSnapshotRow, vanished, accepted)

    def restore(self, rows: Sequence[GoneSnapshotRow]) -> int:
        """Take over what another catalogue recorded; the number of those that were not known here."""
        added = 0
        with self._store.writing() as statements:
            for row in rows:
                known = statements.get(GoneSnapshotRow, row.snapshot_id)
                if known is None or (known.fate == Fate.VANISHED and row.fate != Fate.VANISHED):
                    statements.put(row)
                    added += known is None
        return added

    def back(self, snapshot_ids: Sequence[str]) -> None:
        """These are on the server (a removal that failed, or a copy that was put back): nothing is gone."""
        with self._store.writing() as statements:
            for snapshot_id in snapshot_ids:
                statements.remove(GoneSnapshotRow, {"snapshot_id": snapshot_id})

    def gone(
        self, *, repository_id: str | None = None, configuration: str | None = None, fate: Fate | None = None
    ) -> list[GoneSnapshotRow]:
        """What is recorded, newest backup first."""
        where = {
            "repository_id": repository_id,
            "configuration": configuration,
            "fate": None if fate is None else fate.value,
        }
        with self._store.reading() as statements:
            return statements.find(GoneSnapshotRow, where, order=("-created_at",))
