"""Evidence of tampering: snapshots that were there, are gone, and that nobody recorded removing.

Whoever has the account's password can delete snapshots without any key. That cannot be prevented on such a server; but
the catalogue, and the sealed records in the repository (``run_records``), know what existed and what was forgotten on
purpose. Either is enough: the catalogue where the records were rolled back too, the records where the catalogue is lost
or never knew. The difference is reported by validation, ``health`` and ``doctor`` until a person says that it is right.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.checked import checked
from backup_core.catalogue.evidence_rows import Fate, GoneSnapshotRow
from backup_core.clock import Clock
from backup_core.errors import BackupError, ConfigError
from backup_core.repository.options import default_hostname

if TYPE_CHECKING:
    from backup_core.repository.repository import Repository
    from backup_core.services.backup_service import BackupService
    from backup_core.services.run_records.document import KnownSnapshot, RecordDocument

_LOG = logging.getLogger(__name__)


def note_gone(
    catalogue: Catalogue, repository: Repository, gone: Sequence[KnownBackup], *, there: Collection[str], clock: Clock
) -> None:
    """Settle what became of snapshots that a listing proved complete shows no more; ``there`` are those it shows.

    Before any is called vanished, the records of other installations are asked whether they forgot it (a request for
    each of them, only now).
    """
    known = {row.snapshot_id: row for row in catalogue.evidence.gone(repository_id=repository.id)}
    back = [snapshot_id for snapshot_id in known if snapshot_id in there]
    if back:
        catalogue.evidence.back(back)
    unexplained = [row for row in gone if row.snapshot_id not in known]
    if unexplained:
        _settle(catalogue, _records(repository), unexplained, there=there, clock=clock)


def note_recorded(catalogue: Catalogue, repository: Repository, *, there: Collection[str], clock: Clock) -> None:
    """Settle what became of snapshots that the record of any installation knows, and that a listing proved complete
    (``there``) does not show: this catalogue may be younger than they are. A request for each installation."""
    documents = _records(repository)
    rows = [row_of(repository.id, known) for document in documents for known in document.snapshots]
    gone = {row.snapshot_id: row for row in rows if row is not None and row.snapshot_id not in there}
    _settle(catalogue, documents, list(gone.values()), there=there, clock=clock)


def row_of(repository_id: str, known: KnownSnapshot) -> KnownBackup | None:
    """A snapshot as a record knows it, None when that is no record of one."""
    try:
        moment = datetime.fromisoformat(known.created_at)
    except ValueError:
        return None
    return KnownBackup(
        snapshot_id=known.snapshot_id,
        repository_id=repository_id,
        backup_id=known.backup_id,
        configuration=known.configuration,
        backup_type="",
        created_at=moment,
    )


def _settle(
    catalogue: Catalogue,
    documents: Sequence[RecordDocument],
    gone: Sequence[KnownBackup],
    *,
    there: Collection[str],
    clock: Clock,
) -> None:
    """Those of which no record says that they were forgotten have vanished."""
    elsewhere = _forgotten(documents)
    catalogue.evidence.restore([row for row in elsewhere if row.snapshot_id not in there])
    explained = {row.snapshot_id for row in elsewhere if row.fate != Fate.VANISHED}
    vanished = [row for row in gone if row.snapshot_id not in explained]
    for row in catalogue.evidence.note(vanished, Fate.VANISHED, at=clock.now(), hostname=default_hostname()):
        _LOG.warning("%s", _told(row.backup_id, row.snapshot_id))


def record_forgotten(service: BackupService, snapshot_ids: Sequence[str], *, reason: str = "") -> None:
    """Say that these backups are about to be removed on purpose. Call it before they are."""
    rows = [row for digits in snapshot_ids for row in service.catalogue.manifests.find(digits)]
    wanted = [row for row in rows if row.snapshot_id in snapshot_ids]
    service.catalogue.evidence.note(
        wanted, Fate.FORGOTTEN, at=service.clock.now(), hostname=default_hostname(), reason=reason
    )


class Vanished:
    """The backups that have vanished, and a person's word on them."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._evidence = service.catalogue.evidence

    def listed(self, config_name: str | None = None) -> list[GoneSnapshotRow]:
        """Those that nobody has explained, newest first: of all, or of a configuration and, in its repository, of those
        that are not configured here, so that somebody hears of each."""
        rows = self._evidence.gone(fate=Fate.VANISHED)
        if config_name is None or not rows:
            return rows
        configurations = self._service.configurations
        found = configurations.find(config_name)
        repository_id = self._service.known.repository_id(found) if found is not None else None
        strange = {row.configuration for row in rows}.difference(config.name for config in configurations.all())
        return [
            row
            for row in rows
            if row.configuration == config_name or (row.repository_id == repository_id and row.configuration in strange)
        ]

    def accept(self, backup_ids: Sequence[str]) -> list[GoneSnapshotRow]:
        """Say that these are rightly gone (by backup id, or 8 or more digits of the snapshot's id); what was meant.

        Raises ``ConfigError`` when one has not vanished.
        """
        vanished = self.listed()
        chosen, unknown = [], []
        for wanted in backup_ids:
            found = [
                r for r in vanished if wanted == r.backup_id or (len(wanted) >= 8 and r.snapshot_id.startswith(wanted))
            ]
            chosen += found
            unknown += [] if found else [wanted]
        if unknown:
            raise ConfigError(f"no backup of this id has vanished: {', '.join(unknown)}")
        self._evidence.accept(
            [row.snapshot_id for row in chosen], at=self._service.clock.now(), hostname=default_hostname()
        )
        return chosen


def vanished_sentence(row: GoneSnapshotRow) -> str:
    """What is to be told about a vanished backup."""
    return _told(row.backup_id, row.snapshot_id)


def _told(backup_id: str, snapshot_id: str) -> str:
    return (
        f"the backup {backup_id} (snapshot {snapshot_id[:8]}) was in the repository and is gone, and nobody recorded "
        "forgetting it: whoever has the account's password may have deleted it. If you removed it yourself with "
        f"another program, say so: davault vanished --accept {snapshot_id[:8]}"
    )


def _records(repository: Repository) -> list[RecordDocument]:
    from backup_core.services.run_records.keeper import newest_records

    try:
        return list(newest_records(repository).values())
    except BackupError as error:
        _LOG.warning("what other installations forgot cannot be known: %s", error)
        return []


def _forgotten(documents: Sequence[RecordDocument]) -> list[GoneSnapshotRow]:
    from backup_core.services.run_records.area_names import GONE

    found = []
    for document in documents:
        for values in document.areas.get(GONE, ()):
            try:
                found.append(checked(GoneSnapshotRow, values))
            except ValueError:
                _LOG.debug("a record of another version says of a snapshot: %s", values)
    return found
