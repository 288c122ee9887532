"""Sending packs to the server, several at a time, and listing them in index files.

Keeps the write order (see ``repository``): a pack is listed only after the server took it, and ``finish`` returns only
when every pack of the run is listed; then a snapshot may refer to it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, RepositoryError
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.layout import FileKind, pack_name
from backup_core.format.pack import FinishedPack, pack_size_of
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.cache import Cache
from backup_core.repository.check import find_bad_packs
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.index import Index
from backup_core.repository.index_writing import INDEX_BLOBS, split_for_index, write_index_file
from backup_core.repository.placement import PackPlacement
from backup_core.repository.run_journal import RunJournal
from backup_core.repository.sealed_files import SealedFiles
from backup_core.storage.backend import Backend
from backup_core.storage.file_slices import FileSlices, as_buffer
from backup_core.types import BlobType, Buffer, IndexId, PackedBlob, PackId

INDEX_SECONDS = 10 * 60.0
"""Age of the oldest pack not listed after which an index file is written."""

_POLL_SECONDS = 0.1


@dataclass(slots=True)
class UploadTotals:
    """What one uploader has stored so far."""

    packs: int = 0
    blobs: int = 0
    pack_bytes: int = 0
    """Bytes of the packs."""
    index_files: int = 0
    reused_packs: int = 0
    """Packs that an interrupted run had stored and that are listed now instead of being stored again."""


class _Parcel(NamedTuple):
    pack: FinishedPack
    data: memoryview | FileSlices
    release: Callable[[], None]


class Uploader:
    """Uploads packs in the background. A context manager: leaving it without ``finish`` gives up in good order.

    ``put_pack`` may be called from several threads; ``finish`` and ``abort`` once, by the owner.
    """

    def __init__(
        self,
        backend: Backend,
        files: SealedFiles,
        cache: Cache,
        journal: RunJournal,
        index: Index,
        *,
        clock: Clock,
        threads: int,
        held: HeldLock,
        placement: PackPlacement,
        keep: Callable[[PackId, Buffer], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """``keep`` is shown each pack that is stored."""
        self.totals = UploadTotals()
        self.placement = placement
        """Where packs should go that are going to be handed over."""
        self._backend = backend
        self._files = files
        self._cache = cache
        self._journal = journal
        self._index = index
        self._clock = clock
        self._threads = max(1, threads)
        self._held = held
        self._cancel = cancel
        self._keep = keep
        self._queue: queue.Queue[_Parcel | None] = queue.Queue(maxsize=self._threads)
        self._workers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._failure: BaseException | None = None
        self._pending: dict[PackId, tuple[PackedBlob, ...]] = {}
        self._pending_blobs = 0
        self._pending_since = 0.0
        self._unconfirmed: dict[PackId, int] = {}
        self._unconfirmed_indexes: set[IndexId] = set()
        self._left = 0
        self._progress: ProgressTracker | None = None
        self._closed = False
        self._adopt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def put_pack(self, pack: FinishedPack, content: Buffer | FileSlices, release: Callable[[], None]) -> None:
        """Hand over a pack; waits while too many are under way.

        ``content``, a buffer that may be longer than the pack, belongs to the uploader until ``release`` is called,
        which happens exactly once, from any thread, also when this raises: the first error of any upload, or
        ``Cancelled``.
        """
        data = content if isinstance(content, FileSlices) else memoryview(content)[: pack.size]
        parcel = _Parcel(pack, data, release)
        try:
            self._start_worker()
            with self._lock:
                self._left += pack.size
            while True:
                self._raise_if_stopped()
                try:
                    self._queue.put(parcel, timeout=_POLL_SECONDS)
                    return
                except queue.Full:
                    continue
        except BaseException:
            release()
            raise

    def finish(self, progress: ProgressTracker | None = None) -> UploadTotals:
        """Wait for all packs, make sure they are there, and list them. Raises the first error of any upload.

        ``progress`` is told of what is still to be sent, for which a slow line needs minutes.
        """
        if not self._closed:
            self._tell_of_the_rest(progress)
            self._stop_workers()
            self._raise_if_stopped()
            if progress is not None:
                progress.phase("finish")
            self._confirm()
            self._write_index()
            self._confirm_indexes()
            self._closed = True
        return self.totals

    def abort(self) -> None:
        """Give up: drop what waits, let uploads under way end, and list what is stored so that the next run uses it.

        Does nothing after ``finish``. That the index cannot be written now is no further error: the journal keeps what
        was stored for the next run on this machine.
        """
        if self._closed:
            return
        self._closed = True
        if self._failure is None:
            self._failure = RepositoryError("the upload was given up")
        self._stop_workers()
        with suppress(BackupError):
            self._write_index()

    def _tell_of_the_rest(self, progress: ProgressTracker | None) -> None:
        with self._lock:
            self._progress = progress
            if progress is not None:
                progress.phase("upload", bytes_total=self._left)

    def _raise_if_stopped(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise RepositoryError("the uploader is finished; start another one")
        if self._cancel is not None:
            self._cancel.check()

    def _start_worker(self) -> None:
        with self._lock:
            if len(self._workers) < self._threads:
                worker = threading.Thread(target=self._work, name="davault-upload", daemon=True)
                self._workers.append(worker)
                worker.start()

    def _stop_workers(self) -> None:
        for _ in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join()
        self._workers.clear()

    def _work(self) -> None:
        while (parcel := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._store(parcel)
            except BaseException as error:  # told by the next call; the queue must go on being emptied
                with self._lock:
                    self._failure = self._failure or error
            finally:
                parcel.release()

    def _store(self, parcel: _Parcel) -> None:
        pack = parcel.pack
        self._backend.put(pack_name(pack.id), parcel.data)
        if pack.blobs[0].type is BlobType.TREE:
            # The next run compares with these trees: without a copy it would have to fetch them.
            self._cache.store(FileKind.PACK, to_hex(pack.id), as_buffer(parcel.data))
        if self._keep is not None:
            self._keep(pack.id, as_buffer(parcel.data))
        self._journal.add_pack(pack.id, pack.blobs)
        self._index.add_pack(pack.id, pack.blobs)
        self.placement.note(pack.id)
        with self._lock:
            self.totals.packs += 1
            self.totals.blobs += len(pack.blobs)
            self.totals.pack_bytes += pack.size
            self._unconfirmed[pack.id] = pack.size
            self._left -= pack.size
            due, progress = self._note_pending(pack.id, pack.blobs), self._progress
        if progress is not None:
            progress.advance(bytes_=pack.size, stored=pack.size)
        if due:
            self._write_index(only_if_due=True)

    def _note_pending(self, pack: PackId, blobs: tuple[PackedBlob, ...]) -> bool:
        """Remember to list a pack; whether an index file is due. Called with the lock held."""
        if not self._pending:
            self._pending_since = self._clock.monotonic()
        self._pending[pack] = blobs
        self._pending_blobs += len(blobs)
        return self._is_due()

    def _is_due(self) -> bool:
        age = self._clock.monotonic() - self._pending_since
        return self._pending_blobs >= INDEX_BLOBS or (bool(self._pending) and age >= INDEX_SECONDS)

    def _write_index(self, *, only_if_due: bool = False) -> None:
        """List all packs that are stored and not listed, in as many index files as it takes."""
        with self._listing:
            with self._lock:
                if only_if_due and not self._is_due():
                    return  # another thread has just done it
                packs = list(self._pending.items())
            for part in split_for_index(packs):
                index = write_index_file(self._backend, self._files, self._held, part)
                self._unconfirmed_indexes.add(index)
                self._index.commit(index, part)
                self._journal.forget_packs(pack for pack, _ in part)
                with self._lock:
                    for pack, blobs in part:
                        del self._pending[pack]
                        self._pending_blobs -= len(blobs)
                    self._pending_since = self._clock.monotonic()
                    self.totals.index_files += 1

    def _confirm(self) -> None:
        """Where the server may keep half of an object, look at the sizes of all packs of this run."""
        if self._backend.promises.atomic_put or not self._unconfirmed:
            return
        bad = list(find_bad_packs(self._backend, self._unconfirmed.items(), cancel=self._cancel))
        if not bad:
            self._unconfirmed.clear()
            return
        gone = [PackId(from_hex(problem.object_id)) for problem in bad]
        for pack in gone:
            self._pending_blobs -= len(self._pending.pop(pack, ()))
        self._journal.forget_packs(gone)
        self._index.hide_packs(gone)
        raise RepositoryError(
            f"{len(bad)} packs that {self._backend.location} had confirmed are not there as sent: {bad[0].message}. "
            "Run a full backup, and distrust this server"
        )

    def _confirm_indexes(self) -> None:
        """Where a write may be lost, look whether the index files of this run are there: a snapshot relies on them."""
        if self._backend.promises.atomic_put or not self._unconfirmed_indexes:
            return
        lost = self._unconfirmed_indexes - self._files.list(FileKind.INDEX).files.keys()
        if lost:
            raise RepositoryError(
                f"the index file {min(lost)} that {self._backend.location} had confirmed is not there. "
                "Run the backup again, and distrust this server"
            )
        self._unconfirmed_indexes.clear()

    def _adopt(self) -> None:
        """List packs that an interrupted run stored, if they are still there and whole.

        At once, so that worker processes, which see what is listed, do not store the same again.
        """
        found = {p: blobs for p, blobs in self._journal.unindexed_packs().items() if self._index.pack_size(p) is None}
        sizes = [(pack, pack_size_of(blobs)) for pack, blobs in found.items()]
        gone = {PackId(from_hex(bad.object_id)) for bad in find_bad_packs(self._backend, sizes, cancel=self._cancel)}
        self._journal.forget_packs([p for p in self._journal.unindexed_packs() if p in gone or p not in found])
        for pack, blobs in found.items():
            if pack not in gone:
                self._index.add_pack(pack, blobs)
                self._note_pending(pack, blobs)
                self.totals.reused_packs += 1
        self._write_index()
