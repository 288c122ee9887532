"""Progress as values, and a token by which a caller stops long work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from backup_core.deferred import dataclass
from backup_core.errors import Cancelled


class CancelToken:
    """Set once by whoever wants to stop; looked at by all who work. Safe between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def cancel(self, reason: str = "cancelled by the caller") -> None:
        """Ask everybody who holds this token to stop at the next safe point."""
        self.reason = self.reason or reason
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once ``cancel`` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` if asked to stop."""
        if self._event.is_set():
            raise Cancelled(self.reason)

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``; True when cancelled meanwhile."""
        return self._event.wait(seconds)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one piece of long work is. Counts only grow within a phase; totals may be 0 while unknown."""

    phase: str = ""
    """What is being done: "scan", "backup", "upload", "check", "restore", "verify", "waiting", "done"."""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    """Logical (source or restored) bytes dealt with."""
    bytes_total: int = 0
    bytes_stored: int = 0
    """Bytes sent to (or fetched from) the server."""
    requests: int = 0
    """Requests sent to the server so far."""
    rate: float = 0.0
    """Logical bytes a second, smoothed."""
    eta: float | None = None
    """Seconds left, None while unknown."""
    current_path: str = ""
    message: str = ""
    """A sentence for people, such as "waiting 12 min for the request window"."""


ProgressSink = Callable[[Progress], None]
"""Receives snapshots of progress, from any thread, a few times a second at most."""


def no_progress(_: Progress) -> None:
    """A sink for callers who do not want to know."""


class Monotonic(Protocol):
    """The part of a clock that progress needs."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...


class ProgressTracker:
    """Counts under a lock and tells a sink, at most every ``interval`` seconds.

    Phase changes and messages are told at once. A sink that raises is dropped after its first error, so that
    showing progress can never break the work; the error is kept in ``sink_error``.
    """

    def __init__(self, sink: ProgressSink, *, clock: Monotonic, interval: float = 0.2) -> None:
        self._sink = sink
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._state = Progress()
        self._last_told = float("-inf")
        self._phase_started = clock.monotonic()
        self.sink_error: Exception | None = None

    @property
    def wanted(self) -> bool:
        """False when nobody looks, so that finding out totals in advance would be for nothing."""
        return self._sink is not no_progress

    @property
    def state(self) -> Progress:
        """The newest counts."""
        with self._lock:
            return self._state

    def phase(self, name: str, *, files_total: int = 0, bytes_total: int = 0) -> None:
        """Begin a phase: counts restart at 0, requests and stored bytes go on."""
        with self._lock:
            self._phase_started = self._clock.monotonic()
            self._state = Progress(
                phase=name,
                files_total=files_total,
                bytes_total=bytes_total,
                bytes_stored=self._state.bytes_stored,
                requests=self._state.requests,
            )
        self._tell(force=True)

    def totals(self, *, files: int, bytes_: int) -> None:
        """Set or correct the totals of the present phase."""
        with self._lock:
            self._state = replace(self._state, files_total=files, bytes_total=bytes_)
        self._tell()

    def advance(self, *, files: int = 0, bytes_: int = 0, stored: int = 0, requests: int = 0, path: str = "") -> None:
        """Add to the counts."""
        with self._lock:
            s = self._state
            self._state = replace(
                s,
                files_done=s.files_done + files,
                bytes_done=s.bytes_done + bytes_,
                bytes_stored=s.bytes_stored + stored,
                requests=s.requests + requests,
                current_path=path or s.current_path,
            )
        self._tell()

    def say(self, message: str) -> None:
        """Show a sentence (an empty one takes it away)."""
        with self._lock:
            self._state = replace(self._state, message=message)
        self._tell(force=True)

    def _tell(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self.sink_error is not None or (not force and now - self._last_told < self._interval):
                return
            self._last_told = now
            self._state = state = self._with_rate(self._state, now - self._phase_started)
        try:
            self._sink(state)
        except Exception as error:
            self.sink_error = error

    @staticmethod
    def _with_rate(state: Progress, elapsed: float) -> Progress:
        rate = state.bytes_done / elapsed if elapsed > 0 else 0.0
        left = state.bytes_total - state.bytes_done
        eta = left / rate if rate > 0 and state.bytes_total and left >= 0 else None
        return replace(state, rate=rate, eta=eta)
