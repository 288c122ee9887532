"""Processes that open boxes and write files, so that a restore of many files keeps more than one processor busy.

Threads of the restore fetch packs and hand over batches of boxes through shared memory; which files are begun, whole or
given up stays with the restore. A batch is small, so that whoever cancels waits for moments only.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import send_handle
from typing import Literal, Self

from backup_core.engine.restore_hand import as_plain
from backup_core.engine.restore_messages import BlobsWritten, SealedBlob, WriteBlobs, WriteSettings
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.seen import SeenTable
from backup_core.engine.shared_memory import SlotMemory
from backup_core.engine.target import ROOT
from backup_core.engine.worker_pool import Worker, default_worker_count
from backup_core.engine.worker_process import StartMethod, WorkerHandle, can_fork_safely, can_spawn, start_worker
from backup_core.format.cipher import MasterKey
from backup_core.types import PackId

SLOT = 16 << 20
"""Bytes of boxes that a batch can hold at most; memory that is not used is not taken."""

WORTH_A_PROCESS = 2000
"""Files from which on it pays to start processes that were not forked in advance."""


class Hand:
    """One process, for one thread at a time."""

    def __init__(self, worker: Worker, number: int, slot: memoryview) -> None:
        self._worker = worker
        self._number = number
        self._slot = slot
        self._known = {ROOT}

    def write(
        self, plan: RestorePlan, pack: PackId, blobs: list[SealedBlob], boxes: Iterable[memoryview]
    ) -> BlobsWritten:
        """Have a batch of boxes opened and written. Raises ``BackupExecutionError`` when the process has died."""
        for blob, box in zip(blobs, boxes, strict=True):
            self._slot[blob.start : blob.start + blob.length] = box
        numbers = [number for blob in blobs for number in blob.files]
        directories = {plan.entries[number].parent for number in numbers}
        directories.update(piece.directory for blob in blobs for piece in blob.pieces)
        numbers.extend(self._news(plan, directories))
        entries = [(number, as_plain(plan.entries[number])) for number in numbers]
        self._worker.send(WriteBlobs(self._number, pack, entries, blobs))
        answer = self._worker.receive()
        if not isinstance(answer, BlobsWritten):
            raise TypeError(f"a process answered {type(answer).__name__} when it was to write")
        return answer

    def _news(self, plan: RestorePlan, directories: Iterable[int]) -> Iterator[int]:
        """Directories on the way to these that it was not told of."""
        for number in directories:
            above = number
            while above not in self._known:
                self._known.add(above)
                yield above
                above = plan.entries[above].parent


class Hands:
    """All processes of one restore. ``close`` them in the end."""

    def __init__(self, count: int | None = None, choice: Literal["auto", "fork", "spawn"] = "auto") -> None:
        """``count``: one for each processor, unless told. ``choice``: how they start, and that they do in any case."""
        self._count = count or default_worker_count()
        self._choice = choice
        self._memory: tuple[SlotMemory, SeenTable] | None = None
        self._waiting: list[WorkerHandle] = []
        self._workers: list[Worker] = []
        self._free: queue.SimpleQueue[Hand] = queue.SimpleQueue()
        self.started = 0
        """How many have been put to work."""

    def fork_early(self) -> None:
        """Fork them if that is safe, because there are no other threads yet; they cost next to nothing until used."""
        if self._choice == "fork" or (self._choice == "auto" and self._count > 1 and can_fork_safely()):
            self._begin("fork")

    def start(self, plan: RestorePlan, key: MasterKey, target: int) -> bool:
        """Put them to work for a plan; False when there are none and it is not worth starting them."""
        worthwhile = self._choice == "auto" and self._count > 1 and can_spawn() and _is_long(plan)
        if not self._waiting and (self._choice == "spawn" or worthwhile):
            self._begin("spawn")
        if self._memory is None:
            return False
        for number, handle in enumerate(self._waiting):
            worker = Worker(handle)
            self._workers.append(worker)
            worker.send(WriteSettings(key.to_json(), plan.delete))
            send_handle(handle.connection, target, 0)
            self._free.put(Hand(worker, number, self._memory[0].slot(number)))
        self._waiting = []
        self.started = len(self._workers)
        return True

    def _begin(self, method: StartMethod) -> None:
        self._memory = slots, seen = SlotMemory(self._count, SLOT), SeenTable()
        self._waiting = [start_worker(method, slots, seen) for _ in range(self._count)]

    @contextmanager
    def one(self) -> Iterator[Hand]:
        """The next that is free."""
        hand = self._free.get()
        try:
            yield hand
        finally:
            self._free.put(hand)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(kill=kind is not None)

    def close(self, *, kill: bool = False) -> None:
        """End all. May be called again."""
        for handle in self._waiting:
            handle.close()
        for worker in self._workers:
            worker.close(kill=kill)
        self._waiting, self._workers = [], []
        if self._memory is not None:
            for memory in self._memory:
                memory.close()
            self._memory = None


def _is_long(plan: RestorePlan) -> bool:
    return sum(entry.writes_content for entry in plan.entries) >= WORTH_A_PROCESS
