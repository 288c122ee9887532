"""Processes with a slot of shared memory each, for threads that hand over work and wait for the answer."""

from __future__ import annotations

from typing import NamedTuple

from backup_core.engine.seen import SeenTable
from backup_core.engine.shared_memory import SlotMemory
from backup_core.engine.worker_pool import Worker
from backup_core.engine.worker_process import StartMethod, WorkerHandle, start_worker


class Member(NamedTuple):
    """One process."""

    worker: Worker
    handle: WorkerHandle
    slot: memoryview
    number: int
    """Of the slot."""


class Team:
    """Starts and ends the processes of one piece of work. ``close`` it in the end."""

    def __init__(self, count: int, slot_size: int) -> None:
        """``slot_size`` in bytes; memory that is not used is not taken."""
        self.count = count
        self._slot_size = slot_size
        self._memory: tuple[SlotMemory, SeenTable] | None = None
        self._waiting: list[WorkerHandle] = []
        self._workers: list[Worker] = []

    @property
    def begun(self) -> bool:
        """True when there are processes that nobody has put to work."""
        return bool(self._waiting)

    def begin(self, method: StartMethod) -> None:
        """Start all; they wait until they are told what they are to be."""
        self._memory = slots, seen = SlotMemory(self.count, self._slot_size), SeenTable()
        self._waiting = [start_worker(method, slots, seen) for _ in range(self.count)]

    def enlist(self) -> list[Member]:
        """Those that began, to be told by the caller; each once."""
        if self._memory is None:
            return []
        handles, self._waiting = self._waiting, []
        members = [Member(Worker(h), h, self._memory[0].slot(n), n) for n, h in enumerate(handles)]
        self._workers += [member.worker for member in members]
        return members

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
