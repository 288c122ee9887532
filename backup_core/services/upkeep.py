"""What is done now and then for all repositories alike: everything backed up at once, keys, repairs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService
    from backup_core.services.key_care.key_care import KeyCare
    from backup_core.services.live.all_backups import AllBackups
    from backup_core.services.repairs.parity import ParityCare
    from backup_core.services.repairs.repairs import Repairs


class Upkeep:
    """Where these services are found."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    @cached_property
    def all_backups(self) -> AllBackups:
        """Backs up several configurations, side by side where that can be."""
        from backup_core.services.live.all_backups import AllBackups

        return AllBackups(self._service)

    @cached_property
    def keys(self) -> KeyCare:
        """Lists, adds, removes and replaces the keys of repositories."""
        from backup_core.services.key_care.key_care import KeyCare

        return KeyCare(self._service)

    @cached_property
    def repairs(self) -> Repairs:
        """Repairs indexes, packs and snapshots."""
        from backup_core.services.repairs.repairs import Repairs

        return Repairs(self._service)

    @cached_property
    def parity(self) -> ParityCare:
        """Makes and checks parity."""
        from backup_core.services.repairs.parity import ParityCare

        return ParityCare(self._service)
