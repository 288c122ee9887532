"""From a configuration to its open repository: the place, the key, the first creation."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_core.clock import Clock
from backup_core.config.home import Home
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError, Corrupt, ListingUnproved, NotARepository, RepositoryExists, WrongKey
from backup_core.format.cipher import MasterKey
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository import reserve
from backup_core.repository.creation import Vacancy
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.repository.snapshots import listed_ids
from backup_core.services.keys import KEY_VARIABLE, NO_KEY, FoundKey, Keys
from backup_core.services.private_files import exclusive
from backup_core.services.records import RepositoryInfo
from backup_core.services.webdav_service import WebDAVService
from backup_core.storage.backend import Backend
from backup_core.storage.request_ledger import Priority
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenRepository:
    """A repository in use."""

    repository: Repository
    config: BackupConfig
    key: FoundKey
    created: bool = False
    notes: tuple[str, ...] = ()

    @property
    def info(self) -> RepositoryInfo:
        """What it is, for people."""
        return RepositoryInfo(
            location=self.repository.backend.location,
            repository_id=self.repository.id,
            version=self.repository.config.version,
            encrypted=self.repository.encrypted,
            created=self.created,
            key_source=self.key.source,
            notes=self.notes,
        )


class Repositories:
    """Opens and creates the repositories of one home's configurations."""

    def __init__(
        self,
        home: Home,
        webdav: WebDAVService,
        keys: Keys,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._home = home
        self._webdav = webdav
        self._keys = keys
        self._clock = clock
        self._random_bytes = random_bytes
        self._unlocked: dict[tuple[str, Secret], MasterKey] = {}

    @contextmanager
    def opened(
        self,
        config: BackupConfig,
        *,
        create: bool = False,
        like: OpenRepository | None = None,
        tracker: ProgressTracker | None = None,
        cancel: CancelToken | None = None,
        priority: Priority = Priority.BACKUP,
        patience: float | None = None,
    ) -> Iterator[OpenRepository]:
        """The configuration's repository while the block runs. With ``create`` it is made first where it was proved to
        be absent - ``like`` another one, so that both cut files alike and (unless a key is named) open with one key.
        ``patience`` is how many seconds a failing request is tried again, None the policy for real work.

        Raises ``NotARepository``, ``WrongKey``, ``ConfigError`` (no key to be had), ``ListingUnproved``,
        ``StorageError``.
        """
        with self._backend(config, tracker, cancel, priority, patience=patience) as backend:
            found = self._open_or_create(backend, config, like) if create else self._open(backend, config)
            with found.repository:
                yield found

    @contextmanager
    def created(self, config: BackupConfig) -> Iterator[OpenRepository]:
        """A new repository; ``RepositoryExists`` when there is one already."""
        with self._backend(config, None, None) as backend, self._creating(config):
            found = self._create(backend, config, Repository.prove_vacant(backend))
            with found.repository:
                yield found

    def listed_snapshots(self, config: BackupConfig) -> frozenset[str] | None:
        """The ids of the snapshots where a configuration stores, without opening the repository; None when the server
        may have more than it lists. Raises ``StorageError``."""
        with self._backend(config, None, None) as backend:
            return listed_ids(backend)

    @contextmanager
    def rehearsed(self, config: BackupConfig) -> Iterator[OpenRepository]:
        """An empty repository in memory, for a dry run before there is a real one."""
        from backup_core.storage.memory import MemoryBackend

        with self._backend(config, None, None) as real:  # which is not asked anything
            backend = MemoryBackend(f"dry-run of {config.name}", promises=real.promises)
        repository = Repository.create(
            backend, NO_KEY.secret, clock=self._clock, random_bytes=self._random_bytes, options=self._options(config)
        )
        with repository:
            yield OpenRepository(repository, config, NO_KEY)

    # ---- inside

    @contextmanager
    def _backend(
        self,
        config: BackupConfig,
        tracker: ProgressTracker | None,
        cancel: CancelToken | None,
        priority: Priority = Priority.BACKUP,
        *,
        patience: float | None = None,
    ) -> Iterator[Backend]:
        say = tracker.say if tracker is not None else _say_nothing
        with self._webdav.opened(
            config.target_client_id,
            config.target_path,
            cancel=cancel,
            on_wait=say,
            priority=priority,
            patience=patience,
        ) as backend:
            yield backend

    def _open_or_create(self, backend: Backend, config: BackupConfig, like: OpenRepository | None) -> OpenRepository:
        try:
            return self._open(backend, config)
        except NotARepository:
            pass
        except Corrupt:
            if not _only_begun(backend):
                raise
        with self._creating(config):
            try:
                vacancy = Repository.prove_vacant(backend)
            except RepositoryExists:
                # Another configuration of this machine may have made it while we waited.
                if Repository.exists(backend):
                    return self._open(backend, config)
                raise
            return self._create(backend, config, vacancy, like)

    def _open(self, backend: Backend, config: BackupConfig) -> OpenRepository:
        candidates = self._keys.candidates(config)
        if not candidates and not Repository.exists(backend):
            raise NotARepository(f"there is no repository at {backend.location} yet; the first backup makes it")
        for key in candidates:
            try:
                return OpenRepository(self._open_with(backend, config, key), config, key)
            except WrongKey:
                _LOG.debug("the key from %s does not open %s", key.source, backend.location)
        raise self._wrong_key(backend, config, candidates)

    def _open_with(self, backend: Backend, config: BackupConfig, key: FoundKey) -> Repository:
        return Repository.open(
            backend,
            key.secret,
            clock=self._clock,
            random_bytes=self._random_bytes,
            options=self._options(config),
            unlocked=self._unlocked,
        )

    def _wrong_key(self, backend: Backend, config: BackupConfig, tried: list[FoundKey]) -> Exception:
        place = f"the repository at {backend.location}"
        name = repr(config.name)
        if not config.encrypt:
            return WrongKey(
                f"{place} is encrypted, but configuration {name} says encrypt=False; "
                "set encrypt and its key, or choose another target_path"
            )
        if self._is_open_to_all(backend, config):
            return WrongKey(
                f"{place} is NOT encrypted, but configuration {name} wants encryption; "
                "choose another target_path, or set encrypt=False"
            )
        if not tried:
            return ConfigError(
                f"{place} exists, and there is no key for configuration {name}: give encrypt_key, "
                f"set {KEY_VARIABLE}, or put the key into {self._home.key_file(config.name)}"
            )
        sources = " nor ".join(key.source for key in tried)
        return WrongKey(
            f"{place} does not open with the key of configuration {name} (from {sources}). "
            "Configurations that share a repository must use the same key"
        )

    def _is_open_to_all(self, backend: Backend, config: BackupConfig) -> bool:
        try:
            self._open_with(backend, config, NO_KEY).close()
        except WrongKey:
            return False
        else:
            return True

    def _create(
        self, backend: Backend, config: BackupConfig, vacancy: Vacancy, like: OpenRepository | None = None
    ) -> OpenRepository:
        shared = like is not None and config.encrypt and config.encrypt_key is None
        candidates = [like.key] if like is not None and shared else self._keys.candidates(config)
        key, notes = (candidates[0], ()) if candidates else self._made_key(config)
        repository = Repository.create(
            backend,
            key.secret,
            clock=self._clock,
            random_bytes=self._random_bytes,
            options=self._options(config),
            vacancy=vacancy,
            chunker_polynomial=None if like is None else like.repository.config.chunker_polynomial,
        )
        reserve.set_aside(backend)
        _LOG.info("created the repository %s at %s", repository.id[:10], backend.location)
        if not repository.encrypted:
            notes = (*notes, f"the repository at {backend.location} is NOT encrypted")
        return OpenRepository(repository, config, key, created=True, notes=notes)

    def _made_key(self, config: BackupConfig) -> tuple[FoundKey, tuple[str, ...]]:
        key, warning = self._keys.make(config)
        return key, (warning,)

    @contextmanager
    def _creating(self, config: BackupConfig) -> Iterator[None]:
        lock = self._home.lock_file(f"create {config.target_client_id} {config.target_path}")
        with exclusive(lock, subject="the repository is being created", wait=True):
            yield

    def _options(self, config: BackupConfig) -> RepositoryOptions:
        return RepositoryOptions(
            pack_size=config.pack_size,
            compression_level=config.compression_level if config.compression else None,
            cache_directory=self._home.cache,
            keep_packs=config.parity is not None,
        )


def _say_nothing(_: str) -> None:
    """For callers who show no progress."""


def _only_begun(backend: Backend) -> bool:
    """Whether nothing is there but what a creation left that was cut off within its last step: half a config."""
    try:
        Repository.prove_vacant(backend)
    except (RepositoryExists, ListingUnproved):
        return False
    return True
