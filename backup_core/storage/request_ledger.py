"""Who has used how much of an account's window of requests: the book that all its users write into.

Requests are reserved in small batches, so that a book which lies in a database is not written for each of them. A batch
counts as used from its reservation until it is settled, or, when its holder died, until its reservation runs out: a
dead process may have sent all of it at its last moment.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from backup_core.clock import Clock
from backup_core.deferred import dataclass

SPARE_SHARE = 0.03
"""Of the window; kept for what cannot wait: renewing locks, and tidying up after a cancelled run."""


class Priority(StrEnum):
    """How much of an account's window a kind of work may use up, so that more urgent work finds room."""

    RESTORE = "restore"
    BACKUP = "backup"
    VALIDATION = "validation"
    PRUNE = "prune"


_SHARES = {Priority.RESTORE: 1.0, Priority.BACKUP: 0.9, Priority.VALIDATION: 0.75, Priority.PRUNE: 0.6}


def allowance(requests: int, priority: Priority, *, urgent: bool = False) -> int:
    """Requests of a window of ``requests`` that may be in use when work of ``priority`` sends its next one, that one
    included. ``urgent`` requests may use all of it."""
    if urgent:
        return requests
    return max(int((requests - int(requests * SPARE_SHARE)) * _SHARES[priority]), 1)


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to a reservation."""

    number: int
    """The batch, for settling it."""
    count: int
    """Requests that may be sent; 0 for none at present."""
    wait: float
    """Seconds after which to ask again, when there are none."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch."""

    number: int
    count: int
    """Requests of it that were sent; the others are free again."""
    until: float
    """The moment, in the ledger's time, from which they do not count any more."""


@dataclass(frozen=True, slots=True)
class WindowUse:
    """The state of a window at one moment."""

    in_use: tuple[tuple[float, int], ...] = ()
    """(seconds from now until they are free, requests), soonest first."""
    blocked_seconds: float = 0.0
    """How long the provider wants no requests at all."""

    @property
    def requests(self) -> int:
        """All requests that count at present."""
        return sum(count for _, count in self.in_use)


class RequestLedger(Protocol):
    """The book of one account. Safe between threads, and processes if it says so."""

    def time(self) -> float:
        """Seconds in the time that this ledger reckons in."""
        ...

    def batch(self, requests: int) -> int:
        """How many requests of a window of ``requests`` should be reserved at once."""
        ...

    def reserve(self, wanted: int, *, allowed: int, until: float, settled: Sequence[Settled] = ()) -> Granted:
        """Note what became of earlier batches, then reserve up to ``wanted`` requests, as far as no more than
        ``allowed`` are in use with them. They count until ``until``, the latest moment at which any may count."""
        ...

    def settle(self, settled: Sequence[Settled]) -> None:
        """Note what became of batches."""
        ...

    def block(self, seconds: float) -> None:
        """Note that the provider refuses all requests for so long."""
        ...

    def use(self) -> WindowUse:
        """How much of the window is in use."""
        ...


def wait_until_free(in_use: Iterable[tuple[float, int]], *, too_many: int, now: float) -> float:
    """Seconds until ``too_many`` of the requests ``in_use`` (until when, how many) are free."""
    moment = now
    for until, count in sorted(in_use):
        if too_many <= 0:
            break
        moment = until
        too_many -= count
    return moment - now


class MemoryLedger:
    """A book for this process alone, in monotonic time, which nobody can set, unless another ``time`` is given."""

    # Far from the numbers of a database, for which this book may stand in.
    _numbers = itertools.count(1 << 48)

    def __init__(self, clock: Clock, *, time: Callable[[], float] | None = None) -> None:
        self._time = time or clock.monotonic
        self._lock = threading.Lock()
        self._batches: dict[int, tuple[float, int]] = {}
        self._blocked_until = float("-inf")

    def time(self) -> float:
        return self._time()

    def batch(self, requests: int) -> int:
        return 1

    def reserve(self, wanted: int, *, allowed: int, until: float, settled: Sequence[Settled] = ()) -> Granted:
        with self._lock:
            now = self._settled(settled)
            if self._blocked_until > now:
                return Granted(0, 0, self._blocked_until - now)
            room = allowed - sum(count for _, count in self._batches.values())
            if room <= 0:
                return Granted(0, 0, wait_until_free(self._batches.values(), too_many=1 - room, now=now))
            number = next(self._numbers)
            self._batches[number] = until, min(wanted, room)
            return Granted(number, min(wanted, room), 0.0)

    def settle(self, settled: Sequence[Settled]) -> None:
        with self._lock:
            self._settled(settled)

    def block(self, seconds: float) -> None:
        with self._lock:
            self._blocked_until = max(self._blocked_until, self.time() + seconds)

    def use(self) -> WindowUse:
        with self._lock:
            now = self._settled(())
            in_use = sorted((until - now, count) for until, count in self._batches.values())
            return WindowUse(tuple(in_use), max(self._blocked_until - now, 0.0))

    def _settled(self, settled: Sequence[Settled]) -> float:
        now = self.time()
        for batch in settled:
            self._batches[batch.number] = batch.until, batch.count
        self._batches = {n: (until, count) for n, (until, count) in self._batches.items() if until > now and count}
        return now
