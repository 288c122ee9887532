"""A backend that fails on purpose: at a chosen operation, before, half-way through, or after carrying it out.

A crash sweep counts the operations of a clean run, then repeats the run once for every operation and every moment,
and looks at what is left each time::

    for faults in every_fault(count):
        backend = FaultyBackend(MemoryBackend(), faults)
        ...
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from backup_core.deferred import dataclass
from backup_core.errors import ConnectionLost
from backup_core.storage.backend import Backend, Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views
from backup_core.types import Buffer

Result = TypeVar("Result")


class Moment(StrEnum):
    """When a fault strikes."""

    BEFORE = "before"
    """Nothing has been done."""
    HALFWAY = "halfway"
    """A put has stored the first half of the object under its final name; for other operations as ``BEFORE``."""
    AFTER = "after"
    """All has been done, only the answer is lost."""


class PowerCut(BaseException):
    """The process ends here: not an ``Exception``, so that no error handler goes on with the work."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Fail at the ``at``-th counted operation (the first is 0)."""

    at: int
    moment: Moment = Moment.BEFORE
    error: Callable[[], BaseException] = lambda: ConnectionLost("injected fault")
    stays_down: bool = False
    """True: every later operation fails too, as after a crash or when a server has gone for good."""
    verbs: frozenset[str] = frozenset({"put", "get", "stat", "list", "delete"})
    """Which operations are counted and may fail."""


WRITES = frozenset({"put", "delete"})
"""For faults that count only operations that change what is stored."""


def every_fault(
    count: int,
    *,
    verbs: frozenset[str] = WRITES,
    error: Callable[[], BaseException] = PowerCut,
    stays_down: bool = True,
) -> Iterator[Fault]:
    """One fault for each of ``count`` operations and each moment."""
    for at in range(count):
        for moment in Moment:
            yield Fault(at, moment, error, stays_down, verbs)


class FaultyBackend:
    """Hands every call on to ``inner``, except where one of ``faults`` says otherwise.

    ``performed`` lists (verb, name) of every operation asked for, those that failed included.
    """

    def __init__(self, inner: Backend, *faults: Fault) -> None:
        self.inner = inner
        self.faults = faults
        self.performed: list[tuple[str, str]] = []
        self._seen = [0] * len(faults)
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def promises(self) -> Promises:
        return self.inner.promises

    @property
    def requests(self) -> RequestCounter:
        return self.inner.requests

    def count(self, verbs: frozenset[str] = WRITES) -> int:
        """How many operations with these verbs were asked for."""
        with self._lock:
            return sum(verb in verbs for verb, _ in self.performed)

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        fault = self._due("put", name)
        if fault is not None and fault.moment is Moment.HALFWAY:
            whole = b"".join(as_views(data)[0])
            self.inner.put(name, whole[: len(whole) // 2])
            raise fault.error()
        self._apply(fault, lambda: self.inner.put(name, data))

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return self._apply(self._due("get", name), lambda: self.inner.get(name, offset=offset, length=length))

    def stat(self, name: str) -> ObjectInfo:
        return self._apply(self._due("stat", name), lambda: self.inner.stat(name))

    def list(self, directory: str) -> Listing:
        return self._apply(self._due("list", directory), lambda: self.inner.list(directory))

    def delete(self, name: str) -> None:
        self._apply(self._due("delete", name), lambda: self.inner.delete(name))

    def space(self) -> Space:
        return self.inner.space()

    def close(self) -> None:
        self.inner.close()

    def _due(self, verb: str, name: str) -> Fault | None:
        due: Fault | None = None
        with self._lock:
            self.performed.append((verb, name))
            for place, fault in enumerate(self.faults):
                if verb not in fault.verbs:
                    continue
                number = self._seen[place]
                self._seen[place] += 1
                if number == fault.at:
                    due = due or fault
                elif fault.stays_down and number > fault.at:
                    due = due or replace(fault, moment=Moment.BEFORE)
        return due

    @staticmethod
    def _apply(fault: Fault | None, operation: Callable[[], Result]) -> Result:
        if fault is not None and fault.moment is not Moment.AFTER:
            raise fault.error()
        result = operation()
        if fault is not None:
            raise fault.error()
        return result
