"""Notices that configurations or recovery plans have changed, so that their deployments follow."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from backup_core.clock import Clock
from backup_core.config.catalogue_place import shared_catalogue
from backup_core.config.home import Home
from backup_core.errors import BackupError
from backup_core.services.application import open_application

INTERVAL = 20.0
"""Seconds between two looks."""


class CatalogueWatch:
    """That of one home. The home's own catalogue is only read when its files have changed since the last look; one that
    is shared (``DAVAULT_CATALOGUE``) is read at each."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._shared = shared_catalogue() is not None
        self._looked = clock.monotonic()
        self._files = self._state_of_files()
        self._known = self._content()

    def changed(self) -> bool:
        """Whether deployments may differ from what they were at the last look; cheap enough to ask every second."""
        if self._clock.monotonic() - self._looked < INTERVAL:
            return False
        self._looked = self._clock.monotonic()
        files = self._state_of_files()
        if files == self._files and not self._shared:
            return False
        content = self._content()
        if content is None:
            return False
        self._files, known, self._known = files, self._known, content
        return content != known

    def forget(self) -> None:
        """Let the next look find a change again."""
        self._files, self._known = (), None

    def _state_of_files(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in (self._home.catalogue, self._home.catalogue.with_name(self._home.catalogue.name + "-wal")):
            with suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size))
        return tuple(found)

    def _content(self) -> str | None:
        """A digest of what deployments are made of; None while it cannot be read."""
        try:
            with open_application(self._home) as application:
                configs = [config.model_dump_json() for config in application.list_configs()]
                plans = [plan.name for plan in application.recovery.list_disaster_recovery_plans()]
        except BackupError:
            return None  # somebody is at work on it: the files' state is not taken as known, so it is looked at again
        return hashlib.sha256("\0".join([*configs, "", *plans]).encode()).hexdigest()
