"""Everything the command line and the flows need, behind one object.

    with open_application() as app:
        app.add_client(ClientConfig(...), password=Secret("..."))
        app.add_config(BackupConfig(...))
        summary = app.backup("documents")

The methods raise ``errors.BackupError`` and nothing else on purpose. Long work takes ``progress`` and ``cancel``;
it runs in the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from backup_core.clock import Clock, SystemClock
from backup_core.config.home import Home
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.results import BackupSummary, RestoreSummary
from backup_core.services.assembly import Services, build_services
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig, ClientConfig
    from backup_core.services.accounts.accounts import Accounts
    from backup_core.services.backup_manager import BackupManager
    from backup_core.services.findings import BackupValidationResult, Finding, Measurement, ProbeResult
    from backup_core.services.health.health import Health
    from backup_core.services.home_recovery.rebuild import HomeRecovery
    from backup_core.services.inspection.inspection import Inspection
    from backup_core.services.listings import FileEntry, RunRecord
    from backup_core.services.mirroring.service import Mirroring
    from backup_core.services.records import BackupManifest, RepositoryInfo
    from backup_core.services.recovery_records import RestorePreview
    from backup_core.services.recovery_service import RecoveryService
    from backup_core.services.reporting.reporting import Reporting
    from backup_core.services.restoring.choice import RestoreChoice
    from backup_core.services.retention.pruning import PruneLimits, PruneResult
    from backup_core.services.retention.retention import Retention
    from backup_core.services.run_records.keeper import RecordKeeper
    from backup_core.services.upkeep import Upkeep
    from backup_core.services.vanished import Vanished

BackupKind = Literal["full", "incremental"]
Depth = Literal["quick", "data", "restore"]


def open_application(
    home: Home | str | Path | None = None,
    *,
    catalogue_url: str | None = None,
    clock: Clock | None = None,
) -> Application:
    """Open (and at first use make) the home and its catalogue.

    ``home`` is the directory, by default that of ``DAVAULT_HOME``; ``catalogue_url`` an SQLAlchemy URL or the path of
    an SQLite file, by default what ``DAVAULT_CATALOGUE`` names, else ``catalogue.db`` in the home. Raises
    ``ConfigError`` or ``CatalogueError``.
    """
    place = home if isinstance(home, Home) else Home.from_environment() if home is None else Home.at(home)
    return Application(build_services(place.create(), catalogue_url=catalogue_url, clock=clock or SystemClock()))


class Application:
    """The system as a whole. Safe to use from several threads; ``close`` it, or use it in a ``with`` statement."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections and the catalogue. Background restores still running are waited for."""
        self._services.close()

    @property
    def home(self) -> Home:
        """Where this installation lies."""
        return self._services.home

    @property
    def manager(self) -> BackupManager:
        """The backup half of the original API: statistics, usage, estimates, cleanup, scheduler."""
        return self._services.manager

    @property
    def recovery(self) -> RecoveryService:
        """The recovery half of the original API: background sessions and disaster-recovery plans."""
        return self._services.recovery

    # ---- clients

    @property
    def accounts(self) -> Accounts:
        """The limits of the clients' accounts: request windows, traffic, bandwidth, forecasts."""
        return self._services.webdav.accounts

    def add_client(self, client: ClientConfig, *, password: Secret | None = None, replace: bool = False) -> None:
        """Remember a client. ``password``, when given, is kept in a 0600 file of the home and referenced from there
        (``client.password`` is then ignored); without it ``client.password`` should be a reference.

        Raises ``ConfigError`` when the name is taken and ``replace`` is not set.
        """
        self._services.webdav.register(client, remember=password, replace=replace)

    def list_clients(self) -> list[ClientConfig]:
        """All clients, by name."""
        return self._services.webdav.configurations()

    def get_client(self, name: str) -> ClientConfig:
        """One client; ``ConfigError`` when there is none of this name."""
        return self._services.webdav.configuration(name)

    def edit_client(self, name: str, changes: Mapping[str, Any], *, reset: Iterable[str] = ()) -> ClientConfig:
        """Change some fields of a client and put others back to their defaults; see ``ClientConfig`` for the fields."""
        return self._services.webdav.edit(name, changes, reset=reset)

    def remove_client(self, name: str) -> None:
        """Forget a client and its remembered password. Nothing changes on its server.

        Raises ``ConfigError`` when it is unknown, or still used by a configuration.
        """
        self._services.webdav.forget(name)

    def probe_client(self, name: str) -> ProbeResult:
        """Talk to a client's server: is it there, does it let us in, how much room has it. Writes nothing."""
        return self._services.webdav.probe(name)

    def measure_client(
        self,
        name: str,
        *,
        size: str | int = "8M",
        entries: int = 10,
        cancel: CancelToken | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Measurement:
        """Measure what a client's server does with what backups rest upon; see ``services.accounts.probing``."""
        from backup_core.services.accounts.probing import measure_client

        return measure_client(self._services.webdav, name, size=size, entries=entries, cancel=cancel, say=say)

    # ---- configurations

    def add_config(self, config: BackupConfig, *, replace: bool = False) -> None:
        """Remember a configuration. Raises ``ConfigError`` when the name is taken and ``replace`` is not set, when its
        client is unknown, or when a pattern is broken."""
        self._services.backup.configurations.add(config, replace=replace)

    def list_configs(self, *, of_this_host: bool = False) -> list[BackupConfig]:
        """All configurations, by name, or only those that this machine may back up (``config.hosts``)."""
        configurations = self._services.backup.configurations
        return configurations.of_this_host() if of_this_host else configurations.all()

    def get_config(self, name: str) -> BackupConfig:
        """One configuration; ``ConfigError`` when there is none of this name."""
        return self._services.backup.configurations.get(name)

    def remove_config(self, name: str) -> None:
        """Forget a configuration. Its backups stay on the server, and its key file where it is."""
        self._services.backup.configurations.remove(name)

    def import_configs(self, path: str | Path, *, replace: bool = False) -> list[str]:
        """Add the clients and configurations of a TOML file; names of the configurations added.

        Nothing is added when anything in the file is wrong.
        """
        from backup_core.services.setup_files import import_setup

        return import_setup(self._services, Path(path), replace=replace)

    def export_configs(self, names: Sequence[str] = ()) -> str:
        """Configurations (all, or those named) and their clients as TOML, with references but without any secret."""
        from backup_core.services.setup_files import export_setup

        return export_setup(self._services, names)

    # ---- backup

    def init_repository(self, config_name: str) -> RepositoryInfo:
        """Create the repository of a configuration. Raises ``RepositoryExists`` when there is one, and
        ``ListingUnproved`` when nobody can tell."""
        return self._services.backup.create_repository(config_name)

    def repository_info(self, config_name: str) -> RepositoryInfo:
        """Open the repository of a configuration and say what it is; ``NotARepository`` when there is none."""
        return self._services.backup.describe_repository(config_name)

    def unlock(self, config_name: str, *, remove_all: bool = False) -> dict[str, str]:
        """Remove locks left in a configuration's repository by programs that died; the ids of those removed,
        each with the reason.

        ``remove_all`` removes living ones too, which is only right when nothing uses the repository.
        """
        return self._services.backup.unlock(config_name, remove_all=remove_all)

    def backup(
        self,
        config_name: str,
        *,
        kind: BackupKind | None = None,
        dry_run: bool = False,
        space_check: bool = True,
        tags: Sequence[str] = (),
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> BackupSummary:
        """Back up one configuration, in the calling thread, by default as it says; with ``space_check`` only what fits.

        The first backup creates the repository, if the place was proved to be empty. Raises ``BackupExecutionError``
        (its cause is chained, ``transient`` says whether to try again), ``LockHeld`` when somebody else is backing the
        same configuration up, ``Cancelled``, ``ConfigError``.
        """
        return self._services.backup.run(
            config_name,
            kind=kind,
            dry_run=dry_run,
            space_check=space_check,
            tags=tags,
            cancel=cancel,
            progress=progress,
        )

    @cached_property
    def upkeep(self) -> Upkeep:
        """Backing up all configurations at once, their keys, and repairs."""
        from backup_core.services.upkeep import Upkeep

        return Upkeep(self._services.backup)

    def backups(self, config_name: str | None = None, *, refresh: bool = False) -> list[BackupManifest]:
        """Backups, newest first, from the catalogue; ``refresh``, and a repository never seen, asks the server first.

        With a configuration's name also those that other programs made in its repository (``config_name`` "").
        """
        return self._services.backup.manifests(config_name, refresh=refresh, foreign=True)

    def get_backup(self, backup_id: str) -> BackupManifest:
        """One backup by its id, or by the first digits (8 or more) of its snapshot's id; ``ConfigError`` if none."""
        return self._services.backup.manifest(backup_id)

    def files(self, backup_id: str, pattern: str = "") -> Iterator[FileEntry]:
        """Entries of a backup in path order, only those matching ``pattern`` when one is given."""
        return self._services.backup.files(backup_id, pattern)

    def runs(self, config_name: str | None = None, *, limit: int = 50) -> list[RunRecord]:
        """Runs of the past, newest first."""
        return self._services.backup.runs(config_name, limit=limit)

    @cached_property
    def inspection(self) -> Inspection:
        """Looking into backups without restoring: find, diff, history."""
        from backup_core.services.inspection.inspection import Inspection

        return Inspection(self._services.backup)

    @cached_property
    def mirroring(self) -> Mirroring:
        """Copies of the backups at second places."""
        from backup_core.services.mirroring.service import Mirroring

        return Mirroring(self._services.backup)

    @cached_property
    def health(self) -> Health:
        """Looks whether servers, keys, indexes and the age of backups are as they should be."""
        from backup_core.services.health.health import Health

        return Health(self._services.backup)

    @cached_property
    def records(self) -> RecordKeeper:
        """The sealed records by which a lost home can be rebuilt; ``kept(name)`` brings one up to date now."""
        from backup_core.services.run_records.keeper import RecordKeeper

        return RecordKeeper(self._services.backup)

    @cached_property
    def home_recovery(self) -> HomeRecovery:
        """Rebuilding clients, configurations, backups and history from a server alone."""
        from backup_core.services.home_recovery.rebuild import HomeRecovery

        return HomeRecovery(self._services.backup)

    @property
    def vanished(self) -> Vanished:
        """Backups that were there, are gone, and that nobody recorded forgetting."""
        from backup_core.services.vanished import Vanished

        return Vanished(self._services.backup)

    @cached_property
    def reporting(self) -> Reporting:
        """Reports, usage and metrics."""
        from backup_core.services.reporting.reporting import Reporting

        return Reporting(self._services.backup)

    def validate(
        self,
        backup_ids: Sequence[str] = (),
        *,
        config_name: str | None = None,
        depth: Depth = "quick",
        subset: str | None = None,
        live_source: bool = False,
        scratch: str | Path | None = None,
        mirror: str | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> list[BackupValidationResult]:
        """Check the backups named, or all of a configuration, or (neither given) all there are.

        ``subset`` reads only a part of the packs at depth "data": "1/7", "5%" or "500M". ``live_source`` compares
        with the files on this machine at depth "restore"; ``scratch`` is where that depth restores to. ``mirror`` (a
        client, or ``client:/folder``): check the copies in this mirror of the configuration.
        """
        return self._services.validator.validate(
            backup_ids,
            config_name=config_name,
            depth=depth,
            subset=subset,
            live_source=live_source,
            scratch=Path(scratch) if scratch is not None else None,
            mirror=mirror,
            cancel=cancel,
            progress=progress,
        )

    def plan_restore(
        self,
        config_name: str | None = None,
        *,
        target: str | Path | None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
        **choice: Unpack[RestoreChoice],
    ) -> RestorePreview:
        """What ``restore`` with the same arguments would do, without doing it (the dry run)."""
        place = None if target is None else Path(target)
        request = self._services.recovery.request(config_name, target=place, **choice)
        return self._services.executor.preview(request, cancel=cancel, progress=progress)

    def restore(
        self,
        config_name: str | None = None,
        *,
        target: str | Path | None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
        **choice: Unpack[RestoreChoice],
    ) -> RestoreSummary:
        """Restore the newest backup of a configuration, the newest one at or before ``at`` (naive: local time), or the
        one named by ``backup_id``, in the calling thread: into ``target``, or to where everything was when that is
        None. ``verify`` reads everything back from disk. All options: ``RestoreChoice``.

        Raises ``RestoreError``, ``ConfigError`` (no such backup), ``Cancelled``.
        """
        place = None if target is None else Path(target)
        self._services.executor.make_ready()
        request = self._services.recovery.request(config_name, target=place, **choice)
        return self._services.executor.run(request, cancel=cancel, progress=progress)

    @cached_property
    def retention(self) -> Retention:
        """Cleanups, pins and holds."""
        return self._services.manager.retention

    def prune(
        self,
        config_name: str,
        *,
        limits: PruneLimits | None = None,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> PruneResult:
        """Remove data that no backup of a repository needs any more; see ``Retention.prune``."""
        return self.retention.prune(config_name, limits, dry_run=dry_run, cancel=cancel, progress=progress)

    def doctor(self) -> list[Finding]:
        """Look at the installation, the home, the catalogue, each client and each configuration's key."""
        from backup_core.services.doctor import examine

        return examine(self._services)
