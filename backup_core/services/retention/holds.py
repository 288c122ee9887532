"""Holds: after a run that looked like a disaster nothing is forgotten or pruned until a person has looked.

Holds live beside the pins: in the catalogue, and in the sealed records of the repository.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backup_core.catalogue.retention_rows import HoldRow
from backup_core.errors import BackupError, CleanupHeld, ConfigError
from backup_core.services.moments import to_local, to_local_if_any
from backup_core.services.retention.records import Hold
from backup_core.services.run_records.keeper import RecordKeeper

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)


class Holds:
    """The holds of all repositories."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._rows = service.catalogue.holds

    def listed(self, config_name: str | None = None, *, released: bool = False) -> list[Hold]:
        """Holds of a configuration (or all) that nobody has released, newest first; with ``released`` the others,
        too."""
        if config_name is not None:
            self._service.configurations.get(config_name)
        return [
            shown(row) for row in self._rows.listed(configuration=config_name, released=None if released else False)
        ]

    def release(self, name: str, *, note: str = "", keep_pins: bool = False) -> list[Hold]:
        """A person has looked: what looked wrong is right. ``name`` is a configuration (all its holds) or the backup
        that looked wrong. The pins that the holds made go as well, unless ``keep_pins``.

        The run counts as ordinary from now on. Raises ``ConfigError`` when nothing is held under this name.
        """
        waiting = [row for row in self._rows.listed(released=False) if _is_meant(row, name)]
        if not waiting:
            raise ConfigError(f"nothing is held under the name {name!r}; davault hold list shows what is")
        now = self._service.clock.now()
        for row in waiting:
            self._rows.release(row.snapshot_id, at=now, note=note)
            _LOG.info("the hold after %s was released", row.backup_id)
        if not keep_pins:
            made = {row.snapshot_id for row in waiting}
            self._service.catalogue.pins.remove(
                [p.snapshot_id for p in self._service.catalogue.pins.listed() if p.hold in made]
            )
        for config_name in sorted({row.configuration for row in waiting}):
            self._keep(config_name)
        return [shown(now_so) for row in waiting if (now_so := self._rows.get(row.snapshot_id)) is not None]

    def _keep(self, config_name: str) -> None:
        # The release holds on this machine whatever becomes of the record: the next run writes it again.
        try:
            problems = RecordKeeper(self._service).kept(config_name)
        except BackupError as error:
            _LOG.warning("the release is kept on this machine only for now: %s", error)
            return
        for problem in problems:
            _LOG.warning("the release is kept on this machine only for now: %s", problem.message)


def open_holds(
    service: BackupService, config_name: str, repository_id: str, *, elsewhere: Sequence[HoldRow] = ()
) -> list[Hold]:
    """Holds on a configuration's backups in a repository that nobody has released, by what is known here and by what
    other installations say; a release known here counts for both."""
    known = {row.snapshot_id: row for row in (*elsewhere, *service.catalogue.holds.listed(repository_id=repository_id))}
    return [shown(row) for row in known.values() if row.configuration == config_name and row.released_at is None]


def refuse_while_held(
    service: BackupService, repository_id: str, names: Sequence[str], *, elsewhere: Sequence[HoldRow] = ()
) -> None:
    """Raise ``CleanupHeld`` when one of these configurations, which share a repository, is held."""
    for name in names:
        waiting = open_holds(service, name, repository_id, elsewhere=elsewhere)
        if waiting:
            raise CleanupHeld(held_message(name, waiting))


def held_message(config_name: str, waiting: Sequence[Hold]) -> str:
    """Why nothing may be removed, and what to do."""
    runs = "; ".join(f"{hold.backup_id}: {', '.join(hold.signs)}" for hold in waiting)
    good = next((hold.good_backup_id for hold in reversed(waiting) if hold.good_backup_id), "")
    kept = f" The last backup that looked right, {good}, is pinned." if good else ""
    return (
        f"nothing of {config_name!r} is removed, because a run looked like a disaster ({runs}).{kept} Look at the "
        f"source; when all is right: davault hold release {config_name}"
    )


def shown(row: HoldRow) -> Hold:
    """A hold as people see it."""
    return Hold(
        backup_id=row.backup_id,
        snapshot_id=row.snapshot_id,
        config_name=row.configuration,
        signs=tuple(sign["message"] for sign in row.signs),
        begun_at=to_local(row.begun_at),
        good_backup_id=row.good_backup_id,
        released_at=to_local_if_any(row.released_at),
        note=row.note,
    )


def _is_meant(row: HoldRow, name: str) -> bool:
    return name in (row.configuration, row.backup_id) or (len(name) >= 8 and row.snapshot_id.startswith(name))
