"""What backups there are: the catalogue's mirror of the repositories, brought up to date when they are opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.clock import Clock
from backup_core.errors import BackupError, ConfigError, ListingUnproved, NotARepository
from backup_core.repository.options import default_hostname
from backup_core.results import BackupSummary, Problem, Severity
from backup_core.services.configurations import Configurations
from backup_core.services.places_seen import SEEN, place_of, repository_seen
from backup_core.services.records import BackupManifest
from backup_core.services.shown_backups import manifest
from backup_core.services.snapshot_facts import known_backup
from backup_core.services.storage_figures import STORED_SIZE
from backup_core.services.storage_shares import note_reading
from backup_core.services.vanished import note_gone, note_recorded

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.repositories import OpenRepository, Repositories

_LOG = logging.getLogger(__name__)


class KnownBackups:
    """The catalogue's list of backups."""

    def __init__(
        self,
        catalogue: Catalogue,
        configurations: Configurations,
        repositories: Callable[[], Repositories],
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._configurations = configurations
        self._repositories = repositories
        self._clock = clock
        self._unreadable: dict[str, list[Problem]] = {}
        self._unlisted: dict[str, Problem] = {}

    def mirror(self, opened: OpenRepository, *, strict: bool = False, records: bool = False) -> None:
        """Make the catalogue show what the open repository holds.

        A snapshot that is damaged keeps its place in the list, so that a validation names it. When the server's listing
        may be incomplete, nothing is taken off the list; with ``strict`` that raises ``ListingUnproved``. With
        ``records``, the sealed records are asked as well which backups there should be: a few requests.
        """
        repository = opened.repository
        problems: list[Problem] = []
        proved = True
        # One that was created a moment ago, by us, holds nothing yet.
        empty = opened.created and not strict
        # What the catalogue has of a snapshot never changes, so only those are read that it does not know.
        known = set() if empty else self._catalogue.manifests.snapshot_ids(repository.id)
        try:
            snapshots = [] if empty else repository.snapshots(problems=problems, known=known)
        except ListingUnproved as error:
            if strict:
                raise
            _LOG.warning("%s", error)
            proved = False
            snapshots = repository.snapshots(problems=problems, known=known, allow_unproved=True)
        for problem in problems:
            _LOG.warning("%s", problem.message)
        self._unreadable[repository.id] = problems
        rows = [known_backup(s, repository_id=repository.id, encrypted=repository.encrypted) for s in snapshots]
        damaged = [problem.object_id for problem in problems]
        keep = [*damaged, *known] if proved else None
        gone = self._catalogue.manifests.mirror(repository.id, rows, keep=keep)
        there = known.union(row.snapshot_id for row in rows)
        note_gone(self._catalogue, repository, gone, there=there, clock=self._clock)
        if records and proved:
            note_recorded(self._catalogue, repository, there=there.union(damaged), clock=self._clock)
        self._note_seen(opened.config, repository.id)

    def unreadable(self, config_name: str | None = None) -> list[Problem]:
        """What could not be read when the repository of a configuration (or all) was last looked at by this object:
        snapshots (which configuration they belonged to nobody can tell), and whole repositories."""
        if config_name is None:
            return [*(problem for found in self._unreadable.values() for problem in found), *self._unlisted.values()]
        return self._unreadable.get(self.repository_id(self._configurations.stored(config_name)) or "", [])

    def backup_ids(self, opened: OpenRepository) -> list[str]:
        """The ids of the backups in the open repository; the server is only asked when it was never looked at, because
        a run without changes should cost next to no requests."""
        repository_id = opened.repository.id
        if self.repository_id(opened.config) != repository_id:
            self.mirror(opened)
        return [row.backup_id for row in self._catalogue.manifests.listed(repository_id=repository_id)]

    def note_stored_size(self, opened: OpenRepository) -> None:
        """Remember how many bytes the packs of the open repository take, by its index, which must be loaded: now, and
        as one more reading for the reports."""
        size = sum(size for _, size in opened.repository.index.pack_sizes())
        self._catalogue.setups.set(STORED_SIZE + opened.repository.id, size)
        note_reading(self._catalogue, opened.repository.id, size, self._clock.now())

    def stored_size(self, repository_id: str) -> int | None:
        """Stored bytes of a repository's packs when it was last used, None when that is not known."""
        found = self._catalogue.setups.setting(STORED_SIZE + repository_id)
        return None if found is None else int(found)

    def add(self, opened: OpenRepository, summary: BackupSummary, *, tags: Sequence[str] = ()) -> None:
        """Record the backup that was just made."""
        self._catalogue.manifests.add(
            KnownBackup(
                snapshot_id=summary.snapshot_id,
                repository_id=opened.repository.id,
                backup_id=summary.backup_id,
                configuration=opened.config.name,
                backup_type=summary.backup_type,
                created_at=summary.started,
                files=summary.files,
                directories=summary.directories,
                total_size=summary.total_size,
                data_added=summary.data_added,
                stored_size=summary.stored_size,
                parent=summary.parent,
                hostname=default_hostname(),
                paths=opened.config.stored_paths,
                tags=list(tags),
                encrypted=summary.encrypted,
                problems=len(summary.problems),
            )
        )

    def in_repository(self, opened: OpenRepository) -> list[BackupManifest]:
        """The open configuration's own backups in the open repository, newest first, as last mirrored."""
        rows = self._catalogue.manifests.listed(opened.config.name, repository_id=opened.repository.id)
        return self._shown(rows)

    def of_repository(self, repository_id: str) -> list[BackupManifest]:
        """All backups in a repository, newest first, as last mirrored."""
        return self._shown(self._catalogue.manifests.listed(repository_id=repository_id))

    def repository_id(self, config: BackupConfig) -> str | None:
        """The id of the repository that was last seen where the configuration stores now, None when none ever was."""
        return repository_seen(self._catalogue.setups.setting(SEEN + config.name), _place(config))

    def listed(
        self, config_name: str | None = None, *, refresh: bool = False, foreign: bool = False, records: bool = False
    ) -> list[BackupManifest]:
        """Backups, newest first; see ``BackupService.manifests``, and ``mirror`` for ``records``."""
        if config_name is None:
            self._refresh_all(always=refresh, records=records)
            return self._shown(self._catalogue.manifests.listed())
        config = self._configurations.stored(config_name)
        self._refresh(config, always=refresh, records=records)
        rows = self._catalogue.manifests.listed(config.name)
        repository_id = self.repository_id(config)
        if foreign and repository_id is not None:
            here = self._catalogue.manifests.listed("", repository_id=repository_id)
            rows = sorted([*rows, *here], key=lambda row: row.created_at, reverse=True)
        return self._shown(rows)

    def to_choose_from(self, config_name: str) -> list[BackupManifest]:
        """A configuration's backups as the server has them now, newest first, for one who opens the repository next:
        so that is not opened here, where the names on the server tell that nothing has changed."""
        config = self._configurations.stored(config_name)
        repository_id = self.repository_id(config)
        if repository_id is None or not self._is_unchanged(config, repository_id):
            self._refresh(config, always=True)
        return self._shown(self._catalogue.manifests.listed(config.name))

    def one(self, backup_id: str) -> BackupManifest:
        """One backup by its id or snapshot id; the servers are asked when the catalogue does not know it."""
        found = self._catalogue.manifests.find(backup_id)
        if not found:
            self._refresh_all(always=True)
            found = self._catalogue.manifests.find(backup_id)
        if not found:
            raise ConfigError(f"there is no backup {backup_id!r}; the list of backups shows what there is")
        if len(found) > 1:
            ids = ", ".join(row.snapshot_id[:16] for row in found)
            raise ConfigError(f"{backup_id!r} means {len(found)} backups; name one by its snapshot: {ids}")
        return self._shown(found)[0]

    def configuration_of(self, backup: BackupManifest) -> str:
        """Name of a configuration through which the backup's repository can be opened; ``ConfigError`` when its own
        was removed and no other uses that repository."""
        row = next(iter(self._catalogue.manifests.find(backup.snapshot_id)), None)
        for config in self._configurations.all_stored():
            if row is not None and self.repository_id(config) == row.repository_id:
                return config.name
        if self._configurations.find(backup.config_name) is not None:
            return backup.config_name
        raise ConfigError(
            f"no configuration leads to the repository of {backup.backup_id!r} any more; add one with its client, "
            "target_path and key"
        )

    def _refresh(self, config: BackupConfig, *, always: bool, records: bool = False) -> None:
        repository_id = self.repository_id(config)
        if not always and repository_id is not None:
            return
        try:
            with self._repositories().opened(config) as opened:
                self.mirror(opened, records=records)
        except NotARepository:
            if repository_id is not None:
                raise  # there was one
            _LOG.debug("%s has no repository yet", config.name)

    def _is_unchanged(self, config: BackupConfig, repository_id: str) -> bool:
        """Whether the server has just the snapshots that the catalogue knows: their names tell, for one request.

        A name is the hash of what is in it, so no other repository has the same ones.
        """
        known = self._catalogue.manifests.snapshot_ids(repository_id)
        listed = self._repositories().listed_snapshots(config) if known else None
        if listed is None or listed != known:
            return False
        self._note_seen(config, repository_id)
        return True

    def _note_seen(self, config: BackupConfig, repository_id: str) -> None:
        seen = {"id": repository_id, "place": _place(config), "seen": self._clock.now().isoformat()}
        self._catalogue.setups.set(SEEN + config.name, seen)

    def _refresh_all(self, *, always: bool, records: bool = False) -> None:
        done: set[str] = set()
        for config in self._configurations.all_stored():
            if _place(config) in done:
                continue
            try:
                self._refresh(config, always=always, records=records)
                done.add(_place(config))
                self._unlisted.pop(config.name, None)
            except BackupError as error:
                message = f"the backups of {config.name!r} could not be listed: {error}"
                _LOG.warning("%s", message)
                self._unlisted[config.name] = Problem("not-listed", message, severity=Severity.ERROR)

    def _shown(self, rows: Sequence[KnownBackup]) -> list[BackupManifest]:
        validated = self._catalogue.history.last_good_validations()
        return [manifest(row, validated.get(row.snapshot_id)) for row in rows]


def _place(config: BackupConfig) -> str:
    return place_of(config.target_client_id, config.target_path)
