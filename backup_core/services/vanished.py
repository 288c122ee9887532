"""Evidence of tampering: snapshots that were there, are gone, and that nobody recorded removing.

Whoever has the account's password can delete snapshots without any key. That cannot be prevented on such a server; but
the catalogue, and the sealed records in the repository (``run_records``), know what existed and what was forgotten on
purpose. The difference is reported by validation and ``doctor`` until a person says that it is right.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.evidence_models import Fate, GoneSnapshotRow
from backup_core.clock import Clock
from backup_core.errors import BackupError, ConfigError
from backup_core.repository.options import default_hostname
from backup_core.repository.repository import Repository

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

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
    if not unexplained:
        return
    elsewhere = _forgotten_elsewhere(repository)
    catalogue.evidence.restore([row for row in elsewhere if row.snapshot_id not in there])
    explained = {row.snapshot_id for row in elsewhere if row.fate != Fate.VANISHED}
    vanished = [row for row in unexplained if row.snapshot_id not in explained]
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
        """Those of a configuration (or all) that nobody has explained, newest first."""
        return self._evidence.gone(configuration=config_name, fate=Fate.VANISHED)

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


def _forgotten_elsewhere(repository: Repository) -> list[GoneSnapshotRow]:
    from backup_core.services.run_records.areas import GONE
    from backup_core.services.run_records.keeper import newest_records

    try:
        documents = newest_records(repository)
    except BackupError as error:
        _LOG.warning("what other installations forgot cannot be known: %s", error)
        return []
    found = []
    for document in documents.values():
        for values in document.areas.get(GONE, ()):
            try:
                found.append(GoneSnapshotRow.model_validate(values))
            except ValueError:
                _LOG.debug("a record of another version says of a snapshot: %s", values)
    return found
