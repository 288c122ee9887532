"""Hand files to workers and finished packs to the uploader, with bounded memory and without blocking for long.

Everything happens in the main thread, in ``store``, ``pump`` and ``drain``; only the release of a pack's buffer comes
from the uploader's threads. Results arrive through callbacks, in the order in which files get done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Protocol, TypeAlias

from backup_core.deferred import dataclass
from backup_core.engine.large_files import LARGE, CutJob, LargeFile, RangeJob
from backup_core.engine.messages import (
    MAX_TASK_TEXT,
    TASKS_AHEAD,
    Answer,
    CutsPlanned,
    Facts,
    FileOutcome,
    FileReference,
    FilesStored,
    Flushed,
    FlushPacks,
    FromWorker,
    PackReady,
    RangeStored,
    Settings,
    StoreDatabase,
    StoreFiles,
    Task,
    unpack_entries,
)
from backup_core.engine.worker_pool import Worker, WorkerPool
from backup_core.format.cipher import OVERHEAD
from backup_core.format.pack import FinishedPack
from backup_core.progress import CancelToken
from backup_core.storage.file_slices import FileSlices

Done: TypeAlias = Callable[[FileOutcome], None]
"""Called once for each file, in the main thread."""

_BATCH_FILES = 256
_BATCH_BYTES = 4 << 20
_JOBS_AHEAD = 24
_LITTLE_WORK = 8 << 20
_FEW_JOBS = 3
_POLL = 0.2


class PackSink(Protocol):
    """Takes finished packs; the uploader does."""

    def put_pack(self, pack: FinishedPack, content: FileSlices, release: Callable[[], None]) -> None:
        """Store a pack; call ``release``, from any thread, when ``content`` will not be read any more.

        Raises the first error of an earlier upload, if there was one.
        """
        ...


@dataclass(slots=True)
class PipelineCounts:
    """What was new to the repository."""

    blobs: int = 0
    data_added: int = 0
    """Bytes of the new blobs' plaintext."""
    data_stored: int = 0
    """The same as stored."""
    packs: int = 0
    packs_size: int = 0
    """Bytes of the pack files."""


class _Batch:
    """Files that one worker stores one after the other."""

    def __init__(self) -> None:
        self._files: list[tuple[bytes, tuple[int, int, int, int]]] = []
        self._done: list[Done] = []
        self.size = 0
        self._text = 0

    def add(self, path: bytes, status: os.stat_result, done: Done) -> None:
        size = status.st_size
        self._files.append((path, (status.st_ino, size, status.st_mtime_ns, status.st_ctime_ns)))
        self._done.append(done)
        self.size += size
        self._text += len(path)

    @property
    def empty(self) -> bool:
        return not self._files

    @property
    def full(self) -> bool:
        return len(self._files) >= _BATCH_FILES or self.size >= _BATCH_BYTES or self._text >= MAX_TASK_TEXT // 2

    def task(self, number: int) -> Task:
        return StoreFiles(number, self._files)

    def finish(self, answer: Answer) -> list[CutJob | RangeJob]:
        if not isinstance(answer, FilesStored):
            raise TypeError(f"files were to be stored, {type(answer).__name__} came")
        for done, outcome in zip(self._done, answer.outcomes(), strict=True):
            done(outcome)
        return []


class _DatabaseJob:
    """One database, of any size, that one worker copies and stores."""

    def __init__(self, path: bytes, status: os.stat_result, done: Done) -> None:
        self._path = path
        self._facts = Facts.of(status)
        self._done = done

    def task(self, number: int) -> Task:
        return StoreDatabase(number, self._path, self._facts)

    def finish(self, answer: Answer) -> list[CutJob | RangeJob]:
        if not isinstance(answer, FilesStored):
            raise TypeError(f"a database was to be stored, {type(answer).__name__} came")
        for outcome in answer.outcomes():
            self._done(outcome)
        return []


_Job: TypeAlias = _Batch | _DatabaseJob | CutJob | RangeJob


class Pipeline:
    """One run's way from files to packs."""

    def __init__(
        self,
        pool: WorkerPool,
        settings: Callable[[], Settings],
        sink: PackSink,
        *,
        cancel: CancelToken,
        on_bytes: Callable[[int], None],
        is_database: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """``settings`` are those for a worker that starts now.

        ``on_bytes`` is told how many bytes of content were dealt with, a few times a second (0 while waiting).
        ``is_database`` is asked about large files, which no worker sees as a whole.
        """
        self.counts = PipelineCounts()
        self._pool = pool
        self._settings = settings
        self._sink = sink
        self._cancel = cancel
        self._on_bytes = on_bytes
        self._is_database = is_database
        self._batch = _Batch()
        self._ready: deque[_Job] = deque()
        self._ready_bytes = 0
        self._jobs: dict[int, _Job] = {}
        self._numbers = count(1)

    def store(self, path: bytes, status: os.stat_result, done: Done) -> None:
        """Have a regular file stored; waits while many others are ahead of it."""
        if status.st_size >= LARGE and self._is_database(path):
            self.store_database(path, status, done)
            return
        if status.st_size >= LARGE:
            self._ready_bytes += status.st_size
            self._ready.append(LargeFile(FileReference(path, Facts.of(status)), done).first_job())
        else:
            self._batch.add(path, status, done)
            if not self._batch.full:
                return
            self._close_batch()
        self._make_way()

    def store_database(self, path: bytes, status: os.stat_result, done: Done) -> None:
        """Have a consistent copy of a database stored; ``status`` says what it was like before."""
        self._ready_bytes += status.st_size
        self._ready.append(_DatabaseJob(path, status, done))
        self._make_way()

    def _make_way(self) -> None:
        self.pump(wait=False)
        while len(self._ready) > _JOBS_AHEAD:
            self.pump(wait=True)

    def pump(self, *, wait: bool) -> None:
        """Take what workers have done and give them more; with ``wait``, until there is something to take.

        Raises ``Cancelled``, ``BackupExecutionError`` when a worker failed, or what the uploader met.
        """
        self._cancel.check()
        self._start_workers(waiting=wait)
        for worker, message in self._pool.messages(_POLL if wait else 0):
            self._take(worker, message)
        self._feed()
        if wait:
            self._on_bytes(0)

    def drain(self) -> None:
        """Wait until every file is done and every pack is handed to the sink."""
        self._close_batch()
        while self._ready or self._jobs:
            self.pump(wait=True)
        for worker in self._pool.workers:
            worker.flushed = False
            worker.send(FlushPacks())
        while not all(worker.flushed for worker in self._pool.workers):
            self.pump(wait=True)

    def _close_batch(self) -> None:
        if not self._batch.empty:
            self._ready.append(self._batch)
            self._ready_bytes += self._batch.size
            self._batch = _Batch()

    def _start_workers(self, *, waiting: bool) -> None:
        pool = self._pool
        much = self._ready_bytes >= _LITTLE_WORK or len(self._ready) > _FEW_JOBS
        if not self._ready or not (much or waiting or pool.decided):
            return
        pool.decide(much_work=much)
        self._feed()
        while self._ready and len(pool.workers) < pool.limit:
            pool.start(self._settings())
            self._feed()

    def _feed(self) -> None:
        """Give jobs to workers, first to those that have least to do."""
        while self._ready and self._pool.workers:
            worker = min(self._pool.workers, key=lambda w: len(w.running))
            if len(worker.running) >= TASKS_AHEAD:
                return
            job, number = self._ready.popleft(), next(self._numbers)
            self._jobs[number] = job
            worker.running.add(number)
            worker.send(job.task(number))

    def _take(self, worker: Worker, message: FromWorker) -> None:
        match message:
            case FilesStored() | CutsPlanned() | RangeStored():
                worker.running.discard(message.number)
                self._on_bytes(_bytes_of(message))
                # What continues a large file comes first: the file is in memory with all its ids until it is done.
                self._ready.extendleft(reversed(self._jobs.pop(message.number).finish(message)))
            case PackReady():
                self._put(message)
            case Flushed():
                worker.flushed = True

    def _put(self, ready: PackReady) -> None:
        blobs = unpack_entries(ready.entries)
        counts = self.counts
        counts.packs += 1
        counts.packs_size += ready.size
        counts.blobs += len(blobs)
        counts.data_stored += sum(blob.length for blob in blobs)
        counts.data_added += sum(blob.uncompressed_length or blob.length - OVERHEAD for blob in blobs)
        pack = FinishedPack(ready.pack, ready.size, blobs)
        self._sink.put_pack(pack, self._pool.lend(ready.slot, ready.size), partial(self._pool.release, ready.slot))


def _bytes_of(answer: Answer) -> int:
    if isinstance(answer, FilesStored):
        return sum(answer.sizes)
    return answer.size if isinstance(answer, RangeStored) else 0
