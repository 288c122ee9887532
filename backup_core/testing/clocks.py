"""A clock that stands still until it is told to move, and others that are nearly the machine's own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup_core.clock import SystemClock
from backup_core.progress import CancelToken

DEFAULT_START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


class ManualClock:
    """A ``Clock`` whose time only passes by ``advance`` and by ``sleep``, which returns at once.

    ``slept`` holds every wait in seconds, so that a test can say how long something would have waited.
    Safe between threads.
    """

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a clock must carry its zone")
        self._now = start
        self._monotonic = 1000.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The moment it was set to, plus all that passed since."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds since an arbitrary beginning; never runs backwards, also when ``set`` goes back."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        """Let ``seconds`` pass at once; raise ``Cancelled`` when ``cancel`` is set."""
        if cancel is not None:
            cancel.check()
        with self._lock:
            self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def set(self, moment: datetime) -> None:
        """Set the wall clock, as an administrator would: forwards or backwards."""
        with self._lock:
            self._now = moment


class BusyClock(SystemClock):
    """The machine's clock, for work that has nobody to wait for: waits are over at once."""

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        """Return at once; raise ``Cancelled`` when ``cancel`` is set."""
        if cancel is not None:
            cancel.check()


class ShiftedClock:
    """The machine's clock, moved on by as many seconds as a file says: one time for several real processes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._real = SystemClock()

    def now(self) -> datetime:
        """The real moment and what the file adds."""
        return self._real.now() + timedelta(seconds=self._shift())

    def monotonic(self) -> float:
        """Seconds since an arbitrary beginning, which go on while a process stands still."""
        return self._real.monotonic() + self._shift()

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        """Really wait."""
        self._real.sleep(seconds, cancel)

    def _shift(self) -> float:
        return float(self._file.read_text())
