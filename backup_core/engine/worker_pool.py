"""The workers of one run, what they share with main, and who may use which slot for a pack."""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from backup_core.engine.messages import FromWorker, GrantSlot, Settings, ToWorker, WantSlot, WorkerFailed
from backup_core.engine.pack_slots import PackSlots
from backup_core.engine.seen import SeenTable
from backup_core.engine.worker_process import StartMethod, WorkerHandle, can_fork_safely, can_spawn, start_worker
from backup_core.errors import BackupExecutionError
from backup_core.format.chunker import MAX
from backup_core.storage.file_slices import FileSlices
from backup_core.types import BlobId

StartChoice: TypeAlias = Literal["auto", "thread", "fork", "spawn"]

_ROOM_FOR_HEADERS = 1 << 20
"""Bytes. A pack whose header grows longer is closed before the last blob that would fit."""

_UNDER_WAY = 128 << 20
"""Bytes of packs that are uploaded, or wait for that, while workers fill others; one pack at least."""

_UNDER_WAY_IN_MEMORY = 32 << 20
"""The same where packs take memory meanwhile."""

_MOST_WORKERS = 8
"""Unless more are asked for: main cannot feed many more, and each takes some 60 MB."""


def default_worker_count() -> int:
    """One worker for each processor that this process may use, up to eight."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:
        processors = os.cpu_count() or 1
    return min(processors, _MOST_WORKERS)


class Worker:
    """One worker and what main knows of it."""

    def __init__(self, handle: WorkerHandle) -> None:
        self._handle = handle
        self.running: set[int] = set()
        """Numbers of the tasks it was sent and has not answered."""
        self.flushed = False

    def fileno(self) -> int:
        """For selectors."""
        return self._handle.connection.fileno()

    def send(self, message: ToWorker) -> None:
        """Raises ``BackupExecutionError`` when the worker is dead."""
        try:
            self._handle.connection.send(message)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> FromWorker:
        """Its next message. Raises ``BackupExecutionError`` when it failed or died."""
        try:
            message: FromWorker = self._handle.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if isinstance(message, WorkerFailed):
            failure = BackupExecutionError(f"a worker could not go on: {message.reason}")
            failure.add_note(message.trace)
            raise failure
        return message

    def close(self, *, kill: bool) -> None:
        """End it, if need be in the midst of its work."""
        if kill:
            self._handle.kill()
        else:
            self._handle.close()

    def _death(self) -> BackupExecutionError:
        return BackupExecutionError(
            f"a worker {self._handle.how_it_ended()}. What was done stays and is used by the next run; "
            "if memory is short, run it with fewer workers",
            transient=True,
        )


class WorkerPool:
    """Starts workers when asked to, up to a limit, all in the same way."""

    def __init__(
        self, choice: StartChoice, *, workers: int, uploads: int, pack_size: int, directory: Path | None = None
    ) -> None:
        """``uploads``: how many packs may be under way to the server at once; ``pack_size`` in bytes;
        ``directory``: on the disk where packs may lie until they are uploaded, None for memory."""
        self.limit = workers
        self.workers: list[Worker] = []
        self._choice = choice
        self._method: StartMethod | None = None if choice == "auto" else choice
        self._forked: list[WorkerHandle] = []
        # One being filled by each worker, and some under way.
        most = workers + max(1, min(uploads, _UNDER_WAY // pack_size))
        self._slots = PackSlots(most, pack_size + MAX + _ROOM_FOR_HEADERS, directory=directory)
        if self._slots.in_memory:  # more would only hide a slow network there
            most = workers + max(1, min(uploads, _UNDER_WAY_IN_MEMORY // pack_size))
        self._seen = SeenTable()
        # The last freed slot is used first: what was never touched takes no room.
        self._free = list(range(most - 1, -1, -1))
        self.place_packs: Callable[[], bytes] = bytes
        """Asked for each pack that is begun: what its id may begin with."""
        self._wanting: deque[Worker] = deque()
        self._released: deque[int] = deque()
        self._closing = threading.Lock()
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    @property
    def decided(self) -> bool:
        """True when there is no more choice of the way in which workers start."""
        return self._method is not None

    def fork_early(self) -> None:
        """Fork all workers now if that is what was asked for, or can be done safely because there are no threads yet.

        Forked workers cost next to nothing while they wait for their settings.
        """
        if self._choice == "fork" or (self._choice == "auto" and can_fork_safely()):
            self._method = "fork"
            self._forked = [start_worker("fork", self._slots, self._seen) for _ in range(self.limit)]

    def decide(self, *, much_work: bool) -> None:
        """Settle how to start workers, if that is still open: little work is not worth a process."""
        if self._method is None:
            self._method = "spawn" if much_work and can_spawn() else "thread"

    def start(self, settings: Settings) -> None:
        """Put one more worker to work. ``decide`` was called before."""
        if self._method is None:
            raise ValueError("nobody has decided how workers start")
        handle = self._forked.pop() if self._forked else start_worker(self._method, self._slots, self._seen)
        worker = Worker(handle)
        self.workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ)
        worker.send(settings)

    def messages(self, timeout: float) -> Iterator[tuple[Worker, FromWorker]]:
        """What workers say within ``timeout`` seconds; requests for buffers are answered here."""
        for key, _ in self._selector.select(timeout):
            worker = key.fileobj
            if not isinstance(worker, Worker):
                self._take_back_slots()
                continue
            message = worker.receive()
            if isinstance(message, WantSlot):
                self._wanting.append(worker)
                self._grant_slots()
            else:
                yield worker, message

    def claim(self, blob: BlobId) -> None:
        """Let no worker store this blob."""
        self._seen.claim(blob)

    def lend(self, slot: int, size: int) -> FileSlices:
        """The pack of ``size`` bytes in this slot, to be read until ``release``."""
        return self._slots.lend(slot, size)

    def release(self, slot: int) -> None:
        """Say that a lent slot is free again. May be called from any thread, also after ``close``."""
        self._slots.take_back()
        self._released.append(slot)
        # Under a lock: the number of a closed descriptor may stand for somebody else's file the next moment.
        with self._closing:
            if not self._closed:
                with suppress(BlockingIOError):  # full of wake-up calls already
                    os.write(self._wake_write, b"\0")

    def close(self, *, kill: bool) -> None:
        """End all workers. Packs that are still being uploaded stay readable. May be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        for handle in self._forked:
            handle.close()
        for worker in self.workers:
            worker.close(kill=kill)
        self._forked, self.workers = [], []
        self._selector.close()
        for descriptor in (self._wake_read, self._wake_write):
            os.close(descriptor)
        self._slots.close()
        self._seen.close()

    def _take_back_slots(self) -> None:
        os.read(self._wake_read, 4096)
        while self._released:
            self._free.append(self._released.popleft())
        self._grant_slots()

    def _grant_slots(self) -> None:
        while self._wanting and self._free:
            self._wanting.popleft().send(GrantSlot(self._free.pop(), self.place_packs()))
