"""Sending and receiving no faster than somebody allows, by the time of day.

A transfer asks before each slice how long it has to wait. The bookkeeping is the "virtual scheduling" form of a token
bucket (ITU-T I.371, annex A): one number, the moment at which all that was let through so far is paid off.
"""

from __future__ import annotations

import threading
from datetime import datetime, time

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.progress import CancelToken

SLOWEST = 1024
"""Bytes a second: with less, a transfer cannot be told from one that has stalled."""
_BURST_SECONDS = 0.25
"""What may pass at once after a pause, in seconds of the rate."""
_SMALLEST_SLICE = 1024

EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Span:
    """A rate for a part of the day, on some days of the week. One whose end is before its start passes midnight."""

    start: time
    end: time
    rate: int | None
    """Bytes a second; None is unlimited."""
    days: frozenset[int] = EVERY_DAY
    """Weekdays on which it starts; Monday is 0."""

    def holds(self, moment: datetime) -> bool:
        """True when ``moment`` (its own wall time counts) lies in it."""
        at, day = moment.time(), moment.weekday()
        if self.start < self.end:
            return self.start <= at < self.end and day in self.days
        return (at >= self.start and day in self.days) or (at < self.end and (day - 1) % 7 in self.days)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Rates by the time of day; the first span that holds a moment counts."""

    spans: tuple[Span, ...] = ()
    otherwise: int | None = None
    """Bytes a second outside all spans; None is unlimited."""

    def rate_at(self, moment: datetime) -> int | None:
        """Bytes a second allowed at ``moment``, None when that is unlimited."""
        return next((span.rate for span in self.spans if span.holds(moment)), self.otherwise)

    @property
    def unlimited(self) -> bool:
        """True when it never holds anything back."""
        return self.otherwise is None and all(span.rate is None for span in self.spans)


class Throttle:
    """Holds one direction of all transfers of a process to a timetable. Safe between threads."""

    def __init__(self, timetable: Timetable, clock: Clock) -> None:
        self._timetable = timetable
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_off = float("-inf")

    def slice_size(self, largest: int) -> int:
        """Bytes to pass at once, so that transfers flow instead of coming in gushes."""
        rate = self._timetable.rate_at(self._clock.now())
        return largest if rate is None else max(min(largest, int(rate * _BURST_SECONDS)), _SMALLEST_SLICE)

    def passing(self, count: int, cancel: CancelToken | None = None) -> None:
        """Wait until ``count`` more bytes may pass. Raises ``Cancelled`` at once when the caller cancels."""
        rate = self._timetable.rate_at(self._clock.now())
        now = self._clock.monotonic()
        with self._lock:
            if rate is None:
                self._paid_off = now
                return
            begins = max(self._paid_off, now - _BURST_SECONDS)
            self._paid_off = begins + count / rate
            wait = begins - now
        if wait > 0:
            self._clock.sleep(wait, cancel)


@dataclass(frozen=True, slots=True)
class Throttles:
    """Both directions of one account; None holds nothing back."""

    up: Throttle | None = None
    down: Throttle | None = None
