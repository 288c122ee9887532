"""Which files that several blobs make up are under way, and how far they are."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable
from typing import Protocol

from backup_core.engine.restore_plan import RestorePlan


class Parts(Protocol):
    """Who knows which part files there are."""

    def begin(self, number: int, make: Callable[[], int]) -> int | None:
        """Call ``make`` if nobody has begun this file; what it returns, None otherwise."""
        ...

    def ended(self, number: int) -> None:
        """The part file is gone: renamed or removed."""
        ...


class PartsInProgress:
    """How far files are that several blobs make up; shared by all threads."""

    def __init__(self, plan: RestorePlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._left = array("I", bytes(array("I").itemsize * len(plan.entries)))
        for work in plan.packs:
            for use in work.uses():
                self._left[use.entry] += 1
        self._begun: set[int] = set(plan.resumed)

    def waiting_for(self, number: int) -> int:
        """Blobs that a file still waits for."""
        return self._left[number]

    def less(self, numbers: Iterable[int]) -> list[int]:
        """A blob of each of these files is dealt with (a file may come more than once); those that have all now."""
        left = self._left
        whole = []
        with self._lock:
            for number in numbers:
                left[number] -= 1
                if not left[number]:
                    whole.append(number)
        return whole

    def begin(self, number: int, make: Callable[[], int]) -> int | None:
        """Call ``make`` if nobody has begun this file; what it returns, None otherwise."""
        with self._lock:
            if number in self._begun:
                return None
            made = make()
            self._begun.add(number)
            return made

    def ended(self, number: int) -> None:
        """The part file is gone: renamed or removed."""
        with self._lock:
            self._begun.discard(number)

    def unfinished(self) -> list[int]:
        """Files whose part is at the target."""
        with self._lock:
            return sorted(self._begun)
