"""Keeping below the number of requests that a provider allows one account in a window of time.

Being refused costs more than waiting: a refused request counts as well, and some providers hide objects from an account
that asked too often. So whoever knows the limit never reaches it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.storage.request_ledger import MemoryLedger, Priority, RequestLedger, Settled, allowance

HOLD_SECONDS = 600.0
"""How long a reserved batch may be begun, and how much longer than a window it counts when its holder dies."""
_LOOK_AGAIN = 1.0
"""Seconds, when the window is full of requests that are still under way here."""
_SHORTEST = 0.001
"""Seconds: less would be lost in the rounding of the clock, and the caller would ask for ever."""

_urgent: ContextVar[bool] = ContextVar("davault_urgent", default=False)


@contextmanager
def urgently() -> Iterator[None]:
    """Requests sent by the calling thread within the block may use what is kept spare of the window: those that would
    do harm by waiting, such as the renewal of a lock."""
    token = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(token)


def is_urgent() -> bool:
    """True within ``urgently``."""
    return _urgent.get()


@dataclass(slots=True)
class _Batch:
    number: int
    count: int
    begin_by: float
    """Ledger time after which no more of it may begin."""
    used: int = 0
    under_way: int = 0
    last_end: float = float("-inf")


class RequestBudget:
    """This process's part of an account's window. Safe between threads; never waits itself.

    A provider counts a request at some moment between its start and its end, which differ by minutes for large objects.
    So a request counts here from its start until a whole window after its end. Requests of one batch count as long as
    the last of them, and are not told apart.
    """

    def __init__(
        self,
        requests: int,
        seconds: float,
        *,
        clock: Clock,
        ledger: RequestLedger | None = None,
        priority: Priority = Priority.RESTORE,
    ) -> None:
        """``requests`` may be sent in any ``seconds`` by all users of ``ledger`` (None: by this object alone)."""
        if requests < 1 or seconds <= 0:
            raise ValueError(f"a window of {requests} requests in {seconds} s lets nothing through")
        self._requests = requests
        self._seconds = seconds
        self._ledger = ledger or MemoryLedger(clock)
        self._priority = priority
        self._batch_size = self._ledger.batch(requests)
        self._lock = threading.Lock()
        self._batches: list[_Batch] = []

    def take(self, *, urgent: bool = False) -> float:
        """0.0 when a request may start now (``give_back`` when it ended), else the seconds after which to ask again.

        ``urgent`` requests may use what is kept spare.
        """
        with self._lock:
            now = self._ledger.time()
            for batch in self._batches:
                if batch.used < batch.count and now < batch.begin_by:
                    batch.used += 1
                    batch.under_way += 1
                    return 0.0
            return self._reserve(now, urgent=urgent)

    def give_back(self) -> None:
        """Note that a request has ended, with an answer or without."""
        with self._lock:
            now = self._ledger.time()
            # It may have been one of another batch, but their ends are only exchanged by that, not put forward.
            batch = next(batch for batch in self._batches if batch.under_way)
            batch.under_way -= 1
            batch.last_end = now
            if now > batch.begin_by:  # it counts for longer than was reserved
                self._ledger.settle([self._settled(batch)])

    def blocked(self, seconds: float) -> None:
        """Tell all users of the account that the provider refuses requests for so long."""
        self._ledger.block(seconds)

    def close(self) -> None:
        """Give back what was reserved and not used."""
        with self._lock:
            if self._batches:
                self._ledger.settle([self._settled(batch) for batch in self._batches])
            self._batches.clear()

    def _reserve(self, now: float, *, urgent: bool) -> float:
        ended = [batch for batch in self._batches if not batch.under_way]
        granted = self._ledger.reserve(
            1 if urgent else self._batch_size,
            allowed=allowance(self._requests, self._priority, urgent=urgent),
            until=now + HOLD_SECONDS + self._seconds,
            settled=[self._settled(batch) for batch in ended],
        )
        self._batches = [batch for batch in self._batches if batch.under_way]
        if granted.count:
            batch = _Batch(granted.number, granted.count, now + HOLD_SECONDS)
            self._batches.append(batch)
            if self._ledger.time() >= batch.begin_by:  # the book kept us waiting, or the machine slept
                return _SHORTEST
            batch.used = batch.under_way = 1
            return 0.0
        if self._batches and granted.wait > self._seconds:
            return _LOOK_AGAIN
        return max(granted.wait, _SHORTEST)

    def _settled(self, batch: _Batch) -> Settled:
        ends = max(batch.last_end, self._ledger.time()) if batch.under_way else batch.last_end
        return Settled(batch.number, batch.used, ends + self._seconds)
