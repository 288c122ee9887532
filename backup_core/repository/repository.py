"""A repository: encrypted, deduplicated, content-addressed backups on top of a storage backend.

**The write order.** Packs first; then index files, which list only packs that the server took; then the snapshot,
which refers only to blobs that index files list. Whatever is interrupted, what a snapshot needs is there. Readers go
the other way: they list snapshots *before* they load the index, so that the index knows all that those snapshots need.
Deletion goes backwards: first the snapshot, then (when pruning, under an exclusive lock) new packs and a new index are
written before old index files, and at last old packs, are removed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from backup_core.clock import Clock
from backup_core.errors import Corrupt, LockLost, NotARepository, NotFound, RepositoryError, UnsupportedVersion
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.layout import DIRECTORIES, pack_directory
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository import reserve
from backup_core.repository.blob_reader import BlobOpener, BlobReader
from backup_core.repository.blob_store import BlobStore
from backup_core.repository.cache import Cache, KeyHints
from backup_core.repository.check import PackExaminer, PackReport, find_bad_packs, find_unreferenced, read_and_examine
from backup_core.repository.creation import Vacancy, create_repository, prove_vacant, repository_exists
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.index import Index
from backup_core.repository.index_loader import IndexLoader
from backup_core.repository.keyring import OpenedKey, Unlocked, open_key
from backup_core.repository.lock_holders import Holder
from backup_core.repository.lock_use import LockUse
from backup_core.repository.locks import Locks, Meanwhile
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.placement import PackPlacement
from backup_core.repository.recovery import clear_up_after_broken_runs
from backup_core.repository.run_journal import RunJournal
from backup_core.repository.sealed_files import SealedFiles
from backup_core.repository.sealed_records import DIRECTORY as RECORDS
from backup_core.repository.snapshots import Snapshots
from backup_core.repository.uploader import Uploader, UploadTotals
from backup_core.results import Problem
from backup_core.storage.backend import Backend, KnowsDirectories
from backup_core.types import BlobId, BlobLocation, BlobType, KeyId, LockId, PackId, Secret, SnapshotId, TreeId


class Repository:
    """An open repository. Safe between threads. A context manager; the backend stays open when it is closed."""

    def __init__(
        self,
        backend: Backend,
        key: OpenedKey,
        *,
        encrypted: bool,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        options: RepositoryOptions,
    ) -> None:
        """Use ``create`` or ``open``."""
        self.backend = backend
        self.clock = clock
        self.random_bytes = random_bytes
        """For keys and whatever else is drawn for this repository later."""
        self.options = options
        self.config: RepositoryConfig = key.config
        self.master_key: MasterKey = key.master
        self.key_id: KeyId = key.id
        self.encrypted = encrypted
        """False when the password is empty: everything is sealed all the same, but anybody can open it."""
        self.cache = Cache(options.cache_directory, key.config.id)
        self._local = threading.local()
        self._mutex = threading.RLock()
        self._journal = RunJournal(self.cache.directory("runs"), on_failure=self.cache.note_failure)
        self.files = SealedFiles(backend, self.cache, self._journal, sealer=self.sealer, version=key.config.version)
        self._snapshots = Snapshots(
            self.files, self.cache, location=backend.location, atomic_put=backend.promises.atomic_put
        )
        self._lock_use = LockUse(
            Locks(self.files, clock, hostname=options.hostname, username=options.username, location=backend.location),
            location=backend.location,
            clear_up=lambda: clear_up_after_broken_runs(backend, self.files, self._journal),
            make_room=lambda: reserve.spend(backend),
        )
        self._loader = IndexLoader(self.files, self.cache, clock)
        self.reader = BlobReader(backend, self.cache, opener=self._opener, index=lambda: self.index)
        self._index: Index | None = None
        self._uploads: list[UploadTotals] = []

    @classmethod
    def create(
        cls,
        backend: Backend,
        password: Secret,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        options: RepositoryOptions | None = None,
        hostname: str | None = None,
        username: str | None = None,
        chunker_polynomial: int | None = None,
        vacancy: Vacancy | None = None,
    ) -> Self:
        """Make a new repository (version 2) where nothing is, and open it; one that cuts files like another has the
        other's ``chunker_polynomial``. An empty password makes it open to everybody (``--insecure-no-password``).
        Raises ``RepositoryExists`` when anything is there, ``ListingUnproved`` when that cannot be known.
        """
        options = options or RepositoryOptions()
        config, key, data = create_repository(
            backend,
            password,
            clock=clock,
            random_bytes=random_bytes,
            hostname=options.hostname if hostname is None else hostname,
            username=options.username if username is None else username,
            chunker_polynomial=chunker_polynomial,
            vacancy=vacancy,
        )
        KeyHints(options.cache_directory, config).store(key.id, data, clock.now(), repository_id=key.config.id)
        return cls(backend, key, encrypted=bool(password), clock=clock, random_bytes=random_bytes, options=options)

    @classmethod
    def open(
        cls,
        backend: Backend,
        password: Secret,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        options: RepositoryOptions | None = None,
        unlocked: Unlocked | None = None,
    ) -> Self:
        """Open a repository: two requests when its key is known from an earlier time, and no derivation when it is in
        ``unlocked``.

        Version 1 is only read. Raises ``NotARepository``, ``WrongKey``, ``UnsupportedVersion`` or ``Corrupt``.
        """
        options = options or RepositoryOptions()
        try:
            config = backend.get("config")
        except NotFound as error:
            raise NotARepository(
                f"there is no repository at {backend.location}. Check address and path, or create one there first"
            ) from error
        hints = KeyHints(options.cache_directory, config)
        key = open_key(backend, password, config, hints, clock.now(), unlocked=unlocked)
        return cls(backend, key, encrypted=bool(password), clock=clock, random_bytes=random_bytes, options=options)

    @staticmethod
    def exists(backend: Backend) -> bool:
        """Whether there is a repository. Raises ``ListingUnproved`` when neither answer is certain."""
        return repository_exists(backend)

    @staticmethod
    def prove_vacant(backend: Backend) -> Vacancy:
        """The proof that ``create`` may make one here, to be handed to it at once. Raises as ``create`` does."""
        return prove_vacant(backend)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """The repository's own id, 64 hex digits, the same wherever it is copied to."""
        return self.config.id

    @property
    def writable(self) -> bool:
        """False for version 1."""
        return self.config.version > 1

    @property
    def pack_size(self) -> int:
        """Bytes at which a pack is closed."""
        return self.options.pack_size or self.backend.promises.preferred_pack_size

    @property
    def bytes_written(self) -> int:
        """Bytes of the packs, index and snapshot files stored through this object."""
        return self.files.bytes_written + sum(totals.pack_bytes for totals in self._uploads)

    def sealer(self) -> Sealer:
        """The calling thread's own sealer."""
        sealer: Sealer | None = getattr(self._local, "sealer", None)
        if sealer is None:
            sealer = self._local.sealer = Sealer(self.master_key)
        return sealer

    # Snapshots

    def snapshots(
        self,
        *,
        problems: list[Problem] | None = None,
        known: set[str] | None = None,
        allow_unproved: bool = False,
        cancel: CancelToken | None = None,
    ) -> list[Snapshot]:
        """All snapshots, oldest first, or those not ``known``: see ``Snapshots.list``. Only what is new is fetched.

        One that cannot be read raises ``Corrupt``, unless ``problems`` takes note of it instead. Raises
        ``ListingUnproved`` when there may be more, unless that is allowed.
        """
        return self._snapshots.list(problems=problems, known=known, allow_unproved=allow_unproved, cancel=cancel)

    def remembered_snapshots(self) -> list[Snapshot]:
        """Snapshots that this machine knows, oldest first; they may have been removed since. Asks nobody."""
        return self._snapshots.remembered()

    def load_snapshot(self, wanted: str) -> Snapshot:
        """The snapshot with this id, or with this unambiguous beginning of one. Raises ``RepositoryError``."""
        return self._snapshots.load(wanted)

    def save_snapshot(self, snapshot: Snapshot) -> SnapshotId:
        """Store a snapshot, the last step of a backup (see the write order above); its id. Needs a lock.

        Raises ``LockLost`` when our lock was gone, ``RepositoryError`` when the server has not kept what it said yes
        to; then there is no snapshot.
        """
        held = self._lock_use.require("save a snapshot")
        held.confirm()
        saved = self._snapshots.save(snapshot)
        try:
            held.confirm()
        except LockLost as lost:
            # Whoever removed our lock may have pruned what this snapshot refers to.
            self._snapshots.withdraw(saved, lost)
            raise
        return saved

    def remove_snapshot(self, snapshot: SnapshotId) -> None:
        """Forget a snapshot. Its data stays until it is pruned. Needs an exclusive lock."""
        self._lock_use.require("remove a snapshot", exclusive=True)
        self._snapshots.remove(snapshot)

    # Index and blobs

    def load_index(
        self,
        progress: ProgressTracker | None = None,
        cancel: CancelToken | None = None,
        *,
        problems: list[Problem] | None = None,
        allow_unproved: bool = False,
    ) -> Index:
        """Bring the index up to date and return it; index files that are known here already are not fetched.

        List the snapshots first (see the write order above). May be called again: the ``Index`` stays the same object.
        An index file that cannot be read raises ``IndexIncomplete``, unless ``problems`` takes note of it instead; an
        unproved listing raises ``ListingUnproved`` unless allowed. Either way ``index.complete`` is False then.
        """
        fresh = self._loader.load(progress=progress, cancel=cancel, problems=problems, allow_unproved=allow_unproved)
        with self._mutex:
            if self._index is None:
                self._index = fresh
            else:
                self._index.adopt(fresh)
            return self._index

    @property
    def index(self) -> Index:
        """The index. Raises ``RepositoryError`` before ``load_index``."""
        if self._index is None:
            raise RepositoryError("the index is not loaded yet: call load_index() after listing the snapshots")
        return self._index

    def read_blob(self, blob: BlobId, kind: BlobType | None = None) -> bytes:
        """A blob, verified, from any pack that has it whole. Raises ``BlobMissing`` or ``Corrupt``."""
        return self.reader.read(blob, kind)

    def read_tree(self, tree: TreeId, *, keep: bool = True) -> list[Node]:
        """A directory's nodes, shared: do not change them. ``keep`` and errors as in ``BlobReader.read_tree``."""
        return self.reader.read_tree(tree, keep=keep)

    def fetch_blobs(
        self, pack: PackId, blobs: Sequence[tuple[BlobId, BlobLocation]]
    ) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """(blob, plaintext) for blobs of one pack, in few requests, ascending by offset.

        In place of a blob that is damaged, or whose pack is missing, stands the ``Corrupt`` error that says so.
        """
        return self.reader.fetch(pack, blobs)

    # Writing

    def uploader(self, cancel: CancelToken | None = None) -> Uploader:
        """A new uploader for packs. Needs a lock, the loaded index, and version 2.

        Packs that a killed run had stored are made known to the index first.
        """
        if not self.writable:
            raise UnsupportedVersion(
                f"the repository at {self.backend.location} has version {self.config.version} and is only read. To "
                'write to it, upgrade it first: "restic migrate upgrade_repo_v2"'
            )
        held = self._lock_use.require("store data")
        promises, packs = self.backend.promises, list(self.index.packs())
        if isinstance(self.backend, KnowsDirectories):
            self.backend.directories_exist(dict.fromkeys([*DIRECTORIES, RECORDS, *map(pack_directory, packs)]))
        placement = PackPlacement(self.id, packs, limit=promises.packs_in_folder, one_at_a_time=not promises.atomic_put)
        uploader = Uploader(
            self.backend,
            self.files,
            self.cache,
            self._journal,
            self.index,
            clock=self.clock,
            threads=self.options.upload_threads or promises.parallel_requests,
            held=held,
            placement=placement,
            keep=self.cache.keep_for_parity if self.options.keep_packs else None,
            cancel=cancel,
        )
        self._uploads.append(uploader.totals)
        return uploader

    def blob_store(self, uploader: Uploader) -> BlobStore:
        """A store for trees (and little data) that hands its packs to ``uploader``."""
        return BlobStore(
            self.index,
            uploader,
            sealer=Sealer(self.master_key),  # its own: it is used under the store's lock, by any thread
            pack_size=self.pack_size,
            compression_level=self.options.compression_level,
        )

    # Locks

    def lock(
        self, *, exclusive: bool = False, cancel: CancelToken | None = None, meanwhile: Meanwhile | None = None
    ) -> AbstractContextManager[HeldLock]:
        """Hold a lock on the repository; within a lock already held, that one is used.

        What broken runs of this machine left is cleared up first. ``meanwhile`` as in ``Locks.acquire``; ``cancel`` is
        set when the lock is lost. Raises ``LockHeld`` when somebody else excludes us, ``RepositoryError`` for an
        exclusive lock within a shared one."""
        return self._lock_use.hold(exclusive=exclusive, cancel=cancel, meanwhile=meanwhile)

    def lock_for_reading(
        self, *, problems: list[Problem] | None = None, cancel: CancelToken | None = None
    ) -> AbstractContextManager[HeldLock | None]:
        """Hold a shared lock while reading, so that nobody prunes meanwhile - or none where the server takes no files.

        A read-only or full server must not keep anybody from restoring: then ``problems`` gets a hint.
        """
        return self._lock_use.hold_for_reading(problems=problems, cancel=cancel)

    def lock_holders(self) -> list[Holder]:
        """The locks of others, stale ones too. Raises ``ListingUnproved`` when there may be more."""
        return self._lock_use.holders()

    def unlock(self, *, remove_all: bool = False) -> dict[LockId, str]:
        """Remove stale locks (of dead processes, or not renewed for 30 minutes); the ids removed, and why.

        ``remove_all`` takes every lock, and is only right when nothing uses the repository.
        """
        return self._lock_use.unlock(remove_all=remove_all)

    # Checking

    def check_packs(self, packs: Iterable[PackId] | None = None, *, cancel: CancelToken | None = None) -> list[Problem]:
        """Packs (of these, or all in the index) that are missing on the server or have the wrong size.

        One request for each of the up to 256 directories concerned. ``object_id`` of a problem is the pack's hex id.
        """
        if packs is None:
            return list(find_bad_packs(self.backend, self.index.pack_sizes(), cancel=cancel))
        sizes = [(pack, size) for pack in set(packs) if (size := self.index.pack_size(pack)) is not None]
        return list(find_bad_packs(self.backend, sizes, cancel=cancel))

    def check_pack_data(self, pack: PackId) -> PackReport:
        """Read a whole pack and verify its name, its header against the index, and every blob in it."""
        return read_and_examine(self.backend, self.index, pack, PackExaminer(self.sealer(), self.index).examine)

    def unreferenced_packs(self, *, cancel: CancelToken | None = None) -> dict[PackId, int]:
        """Packs on the server that no index lists -> their bytes. They do no harm; pruning removes them."""
        return dict(find_unreferenced(self.backend, frozenset(self.index.packs()), cancel=cancel))

    def close(self) -> None:
        """Give local files back."""
        self._journal.close()
        if self._index is not None:
            self._index.close()
        self.cache.close()

    def _opener(self) -> BlobOpener:
        opener: BlobOpener | None = getattr(self._local, "opener", None)
        if opener is None:
            opener = self._local.opener = BlobOpener(self.sealer())
        return opener
