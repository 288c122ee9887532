"""Pins: backups that stay whatever the rules say.

They are kept in the catalogue, and travel in the sealed records of the repository (``services.run_records``): so they
outlive the catalogue, and the cleanup of another machine that shares the repository heeds them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backup_core.catalogue.checked import checked
from backup_core.catalogue.retention_rows import HoldRow, PinRow
from backup_core.catalogue.row import AnyRow
from backup_core.errors import ConfigError
from backup_core.services.moments import to_local
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository
from backup_core.services.retention.records import Pin
from backup_core.services.run_records.area_names import HOLDS, PINS
from backup_core.services.run_records.keeper import RecordKeeper, newest_records

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)


class Pins:
    """The pins of all repositories."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._rows = service.catalogue.pins

    def listed(self, config_name: str | None = None) -> list[Pin]:
        """Pins of a configuration (or all), newest first."""
        if config_name is not None:
            self._service.configurations.get(config_name)
        return [_pin(row) for row in self._rows.listed(configuration=config_name)]

    def add(self, backup_id: str, *, reason: str = "") -> Pin:
        """Pin a backup, here and in its repository. A pin of a person replaces that of a hold."""
        backup = self._service.manifest(backup_id)
        row = self.row(backup, reason=reason or "by hand")
        self._rows.add(row)
        self._keep(backup)
        return _pin(row)

    def remove(self, backup_id: str) -> Pin:
        """Take a pin away. Raises ``ConfigError`` when the backup is not pinned."""
        found = [
            row
            for row in self._rows.listed()
            if backup_id == row.backup_id or (len(backup_id) >= 8 and row.snapshot_id.startswith(backup_id))
        ]
        if len(found) != 1:
            problem = "is not pinned" if not found else "means several pins; name one by its snapshot"
            raise ConfigError(f"the backup {backup_id!r} {problem}")
        self._rows.remove([found[0].snapshot_id])
        if self._service.catalogue.manifests.find(found[0].snapshot_id):
            self._keep(self._service.manifest(found[0].snapshot_id))
        return _pin(found[0])

    def row(self, backup: BackupManifest, *, reason: str, hold: str = "") -> PinRow:
        """The row that pins a backup."""
        manifest = self._service.catalogue.manifests.find(backup.snapshot_id)[0]
        return PinRow(
            snapshot_id=backup.snapshot_id,
            repository_id=manifest.repository_id,
            backup_id=backup.backup_id,
            configuration=backup.config_name,
            reason=reason,
            hold=hold,
            pinned_at=self._service.clock.now(),
        )

    def reasons(self, repository_id: str, elsewhere: Sequence[PinRow] = ()) -> dict[str, str]:
        """Snapshot id -> why it is pinned, by the pins known here and those of other installations."""
        rows = [*elsewhere, *self._rows.listed(repository_id=repository_id)]
        return {row.snapshot_id: row.reason for row in rows}

    def _keep(self, backup: BackupManifest) -> None:
        service = self._service
        for problem in RecordKeeper(service).kept(service.known.configuration_of(backup)):
            _LOG.warning("the pin is kept on this machine only for now: %s", problem.message)


def noted_elsewhere(service: BackupService, opened: OpenRepository) -> tuple[list[PinRow], list[HoldRow]]:
    """Pins and holds that other installations keep in the open repository. Raises ``ListingUnproved``."""
    documents = newest_records(opened.repository, without=RecordKeeper(service).writer())
    pins: list[PinRow] = []
    holds: list[HoldRow] = []
    for document in documents.values():
        pins += [pin for values in document.areas.get(PINS, ()) if (pin := _read(PinRow, values)) is not None]
        holds += [hold for values in document.areas.get(HOLDS, ()) if (hold := _read(HoldRow, values)) is not None]
    return pins, holds


def _read(kind: type[AnyRow], values: Mapping[str, object]) -> AnyRow | None:
    try:
        return checked(kind, values)
    except ValueError as error:
        _LOG.warning("a record of another version cannot be understood: %s", error)
        return None


def _pin(row: PinRow) -> Pin:
    return Pin(
        backup_id=row.backup_id,
        snapshot_id=row.snapshot_id,
        config_name=row.configuration,
        reason=row.reason,
        pinned_at=to_local(row.pinned_at),
        hold=row.hold,
    )
