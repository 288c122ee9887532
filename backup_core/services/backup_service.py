"""Backups as people think of them: configurations, runs and what they left on the servers.

BackupService
  ├── configurations   what is backed up, where to
  ├── repositories     from a configuration to its open repository
  └── catalogue        what is known without asking a server
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from backup_core.catalogue import open_catalogue
from backup_core.clock import Clock, SystemClock
from backup_core.config.catalogue_place import shared_catalogue
from backup_core.config.home import Home
from backup_core.errors import BackupExecutionError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.results import BackupSummary
from backup_core.services.configurations import Configurations, refuse_elsewhere
from backup_core.services.keys import Keys
from backup_core.services.known_backups import KnownBackups
from backup_core.services.records import BackupManifest, RepositoryInfo
from backup_core.services.run_records import run_record
from backup_core.services.webdav_service import WebDAVService
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from pathlib import Path

    from backup_core.catalogue.catalogue import Catalogue
    from backup_core.config.models import BackupConfig
    from backup_core.services.listings import FileEntry, RunRecord
    from backup_core.services.repositories import OpenRepository, Repositories

__all__ = ["BackupConfig", "BackupExecutionError", "BackupManifest", "BackupService"]


def __getattr__(name: str) -> object:
    if name == "BackupConfig":  # what loads it is not needed by a backup
        from backup_core.config.models import BackupConfig

        return BackupConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BackupService:
    """Runs backups and knows what there is."""

    def __init__(
        self,
        webdav_service: WebDAVService,
        metadata_db_path: str | Path | None = None,
        *,
        home: Home | None = None,
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """``metadata_db_path`` is the catalogue: a path or an SQLAlchemy URL, by default what ``DAVAULT_CATALOGUE``
        names, else ``catalogue.db`` in the home (of ``DAVAULT_HOME``). Raises ``ConfigError``, ``CatalogueError``."""
        self.home = (home or Home.from_environment()).create()
        self.clock = clock or SystemClock()
        self.random_bytes = random_bytes
        self.catalogue: Catalogue = open_catalogue(metadata_db_path or shared_catalogue() or self.home.catalogue)
        self.webdav_service = webdav_service
        webdav_service.attach(self.catalogue, self.home)
        self.configurations = Configurations(self.catalogue, webdav_service, self.clock)
        self.keys = Keys(self.home, self.configurations, random_bytes=random_bytes)
        self.known = KnownBackups(self.catalogue, self.configurations, lambda: self.repositories, self.clock)

    # ---- repositories

    @cached_property
    def repositories(self) -> Repositories:
        """Opens and creates repositories; made when first used, since reading the catalogue needs none."""
        from backup_core.services.repositories import Repositories

        return Repositories(self.home, self.webdav_service, self.keys, self.clock, random_bytes=self.random_bytes)

    def create_repository(self, config_name: str) -> RepositoryInfo:
        """Create the repository of a configuration; ``RepositoryExists`` or ``ListingUnproved`` when it must not be."""
        with self.repositories.created(self.configurations.stored(config_name)) as opened:
            self.known.mirror(opened)
            return opened.info

    def describe_repository(self, config_name: str) -> RepositoryInfo:
        """What the repository of a configuration is; ``NotARepository`` when there is none."""
        with self.opened(config_name) as opened:
            return opened.info

    def unlock(self, config_name: str, *, remove_all: bool = False) -> dict[str, str]:
        """Remove the stale locks of a configuration's repository, or all of them; the ids of those removed."""
        with self.repositories.opened(self.configurations.stored(config_name)) as opened:
            return {str(lock): why for lock, why in opened.repository.unlock(remove_all=remove_all).items()}

    @contextmanager
    def opened(
        self,
        config_name: str,
        *,
        tracker: ProgressTracker | None = None,
        cancel: CancelToken | None = None,
        priority: Priority = Priority.BACKUP,
        patience: float | None = None,
    ) -> Iterator[OpenRepository]:
        """A configuration's repository, with the catalogue's list of its backups brought up to date. ``priority`` says
        how much of the account's window of requests the work may use up, ``patience`` how many seconds a failing
        request is tried again (None: as for all real work)."""
        config = self.configurations.stored(config_name)
        with self.repositories.opened(
            config, tracker=tracker, cancel=cancel, priority=priority, patience=patience
        ) as opened:
            self.known.mirror(opened)
            yield opened

    # ---- backups

    def run(
        self,
        config_name: str,
        *,
        kind: str | None = None,
        dry_run: bool = False,
        space_check: bool = True,
        tags: Sequence[str] = (),
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> BackupSummary:
        """Back up one configuration in the calling thread; see ``Application.backup`` for the errors."""
        config = self.configurations.stored(config_name)
        refuse_elsewhere(config)
        kind = kind or config.default_type
        if kind not in ("full", "incremental"):
            raise ConfigError(f'a backup is "full" or "incremental", not {kind!r}')
        from backup_core.services.backup_run import BackupRun
        from backup_core.services.snapshot_facts import checked_tags

        tracker = ProgressTracker(progress, clock=self.clock)
        run = BackupRun(self, config, kind, tags=checked_tags(tags), tracker=tracker, cancel=cancel or CancelToken())
        return run.carry_out(dry_run=dry_run, space_check=space_check)

    def run_backup(self, config_name: str, backup_type: str = "incremental") -> BackupManifest:
        """Back up one configuration and return its new backup. Raises what ``run`` raises."""
        return self.manifest(self.run(config_name, kind=backup_type).snapshot_id)

    def manifests(
        self, config_name: str | None = None, *, refresh: bool = False, foreign: bool = False
    ) -> list[BackupManifest]:
        """Backups, newest first; ``foreign`` adds those that other programs made in the configuration's repository.

        Servers are only asked with ``refresh``, or when a configuration's repository was never looked at. A repository
        that does not exist yet holds no backups.
        """
        return self.known.listed(config_name, refresh=refresh, foreign=foreign)

    def manifest(self, backup_id: str) -> BackupManifest:
        """One backup by its id or the first digits (8 or more) of its snapshot's id; ``ConfigError`` if there is none,
        or more than one."""
        return self.known.one(backup_id)

    def files(self, backup_id: str, pattern: str = "") -> Iterator[FileEntry]:
        """Entries of a backup in path order, only those matching ``pattern`` when one is given."""
        from backup_core.services.file_listing import listed_files

        manifest = self.manifest(backup_id)
        with self.opened(self.known.configuration_of(manifest)) as opened:
            yield from listed_files(opened.repository, manifest.snapshot_id, pattern)

    def runs(self, config_name: str | None = None, *, limit: int = 50) -> list[RunRecord]:
        """Runs of the past, newest first."""
        return [run_record(row) for row in self.catalogue.history.runs(config_name, limit=limit)]

    def close(self) -> None:
        """Give back the catalogue."""
        self.catalogue.close()
