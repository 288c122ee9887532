"""Processes that open boxes and write files, so that a restore of many files keeps more than one processor busy.

Threads of the restore fetch packs and hand over batches of boxes through shared memory; which files are begun, whole or
given up stays with the restore. A batch is small, so that whoever cancels waits for moments only.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import send_handle
from operator import itemgetter
from typing import Any, Literal, Self

from backup_core.engine.restore_hand import as_plain
from backup_core.engine.restore_messages import BlobsWritten, NewFile, SealedBlob, WriteBlobs, WriteSettings
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.target import ROOT
from backup_core.engine.team import Team
from backup_core.engine.worker_pool import Worker, default_worker_count
from backup_core.engine.worker_process import can_fork_safely, can_spawn
from backup_core.format.cipher import MasterKey
from backup_core.types import PackId

SLOT = 16 << 20
"""Bytes of boxes that a batch can hold at most; memory that is not used is not taken."""

WORTH_A_PROCESS = 2000
"""Files from which on it pays to start processes that were not forked in advance."""


_directory: Callable[[Any], int] = itemgetter(NewFile._fields.index("directory"))


class Hand:
    """One process, for one thread at a time."""

    def __init__(self, worker: Worker, number: int, slot: memoryview) -> None:
        self._worker = worker
        self._number = number
        self._slot = slot
        self._known = {ROOT}

    def write(
        self,
        plan: RestorePlan,
        pack: PackId,
        boxes: memoryview,
        files: list[tuple[object, ...]],
        blobs: list[SealedBlob],
    ) -> BlobsWritten:
        """Have a part of a pack opened and written: ``NewFile``s as plain tuples, and other blobs.

        Raises ``BackupExecutionError`` when the process has died.
        """
        self._slot[: len(boxes)] = boxes
        numbers = [number for blob in blobs for number in blob.files]
        directories = {plan.entries[number].parent for number in numbers}
        directories.update(piece.directory for blob in blobs for piece in blob.pieces)
        directories.update(map(_directory, files))
        numbers.extend(self._news(plan, directories))
        entries = [(number, as_plain(plan.entries[number])) for number in numbers]
        self._worker.send(WriteBlobs(self._number, pack, entries, files, blobs))
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
        self._team = Team(count or default_worker_count(), SLOT)
        self._choice = choice
        self._free: queue.SimpleQueue[Hand] = queue.SimpleQueue()
        self.started = 0
        """How many have been put to work."""

    def fork_early(self) -> None:
        """Fork them if that is safe, because there are no other threads yet; they cost next to nothing until used."""
        if self._choice == "fork" or (self._choice == "auto" and self._team.count > 1 and can_fork_safely()):
            self._team.begin("fork")

    def start(self, plan: RestorePlan, key: MasterKey, target: int) -> bool:
        """Put them to work for a plan; False when there are none and it is not worth starting them."""
        worthwhile = self._choice == "auto" and self._team.count > 1 and can_spawn() and _is_long(plan)
        if not self._team.begun and (self._choice == "spawn" or worthwhile):
            self._team.begin("spawn")
        for member in self._team.enlist():
            member.worker.send(WriteSettings(key.to_json(), plan.delete))
            send_handle(member.handle.connection, target, 0)
            self._free.put(Hand(member.worker, member.number, member.slot))
            self.started += 1
        return self.started > 0

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
        self._team.close(kill=kill)


def _is_long(plan: RestorePlan) -> bool:
    return sum(entry.writes_content for entry in plan.entries) >= WORTH_A_PROCESS
