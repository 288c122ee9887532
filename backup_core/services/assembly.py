"""Putting the services together."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from backup_core.clock import Clock
from backup_core.config.home import Home
from backup_core.services.backup_service import BackupService
from backup_core.services.webdav_service import WebDAVService

if TYPE_CHECKING:
    from backup_core.services.backup_manager import BackupManager
    from backup_core.services.backup_validator import BackupValidator
    from backup_core.services.recovery_executor import RecoveryExecutor
    from backup_core.services.recovery_service import RecoveryService


class Services:
    """The services of one home, each knowing those it stands on; the larger ones are made when first used."""

    def __init__(self, home: Home, webdav: WebDAVService, backup: BackupService) -> None:
        self.home = home
        self.webdav = webdav
        self.backup = backup

    @cached_property
    def manager(self) -> BackupManager:
        """The backup half of the public face."""
        from backup_core.services.backup_manager import BackupManager

        return BackupManager(self.backup)

    @cached_property
    def recovery(self) -> RecoveryService:
        """The recovery half of the public face."""
        from backup_core.services.recovery_service import RecoveryService

        return RecoveryService(self.backup)

    @property
    def validator(self) -> BackupValidator:
        """Checks backups."""
        return self.manager.validator

    @property
    def executor(self) -> RecoveryExecutor:
        """Carries out restores."""
        return self.recovery.executor

    def close(self) -> None:
        """Stop the scheduler, wait for restores in the background, give back the catalogue."""
        # What was never used has nothing to stop.
        made = vars(self)
        if "manager" in made:
            self.manager.stop_scheduler()
        if "recovery" in made:
            self.executor.wait()
        self.backup.close()


def build_services(home: Home, *, catalogue_url: str | None, clock: Clock) -> Services:
    """All services on one home and catalogue."""
    webdav = WebDAVService(clock=clock)
    return Services(home, webdav, BackupService(webdav, catalogue_url, home=home, clock=clock))
