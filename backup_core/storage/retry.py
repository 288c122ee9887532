"""The one place where requests are tried again: when, how long to wait first, and when to give up.

An error says itself whether another try can help (``error.transient``). Waits grow exponentially and are spread by
chance, a server that names a time is obeyed, and what one thread learns of a limit holds back the others too.
Every wait is told to the caller (``on_wait``) and to the log, and ends at once when the caller cancels.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.errors import AmbiguousReply, ConnectionLost, RateLimited, ShortRead, StorageError
from backup_core.progress import CancelToken

_log = logging.getLogger(__name__)

Result = TypeVar("Result")
Random = Callable[[], float]
"""Gives numbers from 0 up to 1, such as ``random.random``."""
OnWait = Callable[[str], None]
"""Is told what is being waited for, again every half minute, and "" when the wait is over."""

_TELL_EVERY = 30.0
_NEED_NOT_BE_TOLD = 5.0
"""Seconds."""


def silently(_: str) -> None:
    """An ``OnWait`` for callers who do not want to know."""


def evenly() -> float:
    """A ``Random`` that spreads nothing: for one client alone, and for tests."""
    return 0.5


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient to be. All times in seconds."""

    first_wait: float = 1.0
    longest_wait: float = 60.0
    first_wait_when_limited: float = 20.0
    """After "too many requests" without a time: the request that asks again counts as well, so ask seldom."""
    longest_wait_when_limited: float = 300.0
    deadline: float = 45 * 60.0
    """From the first try of one call to the last; outlives the 30-minute window of the strictest known provider."""
    deadline_before_first_answer: float = 90.0
    """Instead of ``deadline``, as long as this server has never been reached: the address may simply be wrong."""
    tries_of_damaged: int = 5
    """Answers that arrive but are cut or wrong are asked for this many times."""


class Retrier:
    """Carries out calls to one server under one policy. Safe between threads."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        clock: Clock,
        random: Random = evenly,
        cancel: CancelToken | None = None,
        on_wait: OnWait = silently,
        on_limit: Callable[[float], None] | None = None,
    ) -> None:
        """``on_limit`` is told for how many seconds the server wants no requests, when it refuses one."""
        self._policy = policy
        self._clock = clock
        self._random = random
        self._cancel = cancel
        self._on_wait = on_wait
        self._on_limit = on_limit
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        self._reached = False
        self._open_again = float("-inf")
        self._last_limited = float("-inf")

    def call(self, operation: Callable[[], Result], *, also_cancelled: bool = False) -> Result:
        """The result of ``operation``, tried until it succeeds, fails for good, or the deadline has passed.

        ``also_cancelled``: begin it even after the caller has cancelled, but do not wait then. That is for tidying up:
        a lock that stays behind would keep others out for half an hour.
        Raises the last ``StorageError``, or ``Cancelled``.
        """
        begun = self._clock.monotonic() - self._waited
        tries = 0
        while True:
            if self._cancel is not None and not also_cancelled:
                self._cancel.check()
            self._wait_for_the_limit(begun)
            tries += 1
            try:
                result = operation()
            except StorageError as error:
                self._learn(error)
                if not error.transient:
                    raise
                self._wait_or_give_up(error, tries, begun)
            else:
                self.answered()
                return result

    def answered(self) -> None:
        """Note that the server is really there: from now on its failures are taken for passing ones."""
        self._reached = True

    def limited_within(self, seconds: float) -> bool:
        """True when the server refused a request for being one too many in the last ``seconds``."""
        with self._lock:
            return self._clock.monotonic() - self._last_limited <= seconds

    def pause(self, seconds: float, why: str) -> None:
        """Wait visibly; ``Cancelled`` when the caller cancels."""
        text = f"waiting {in_words(seconds)} {why}"
        _log.warning(text)
        left = seconds
        try:
            while left > 0:
                self._on_wait(f"waiting {in_words(left)} {why}")
                step = min(left, _TELL_EVERY)
                self._clock.sleep(step, self._cancel)
                left -= step
        finally:
            self._on_wait("")

    def wait_until(self, ready: Callable[[], float], why: str, *, cancel: CancelToken | None = None) -> None:
        """Wait until ``ready`` says 0.0; else it says after how many seconds it probably will. It is asked again every
        half minute, because others may make room meanwhile. ``Cancelled`` when ``cancel`` is set."""
        told = False
        began = self._clock.monotonic()
        try:
            while left := ready():
                if left > _NEED_NOT_BE_TOLD:
                    if not told:
                        _log.warning("waiting %s %s", in_words(left), why)
                    told = True
                    self._on_wait(f"waiting {in_words(left)} {why}")
                self._clock.sleep(min(left, _TELL_EVERY), cancel)
        finally:
            self._of_thread.waited = self._waited + self._clock.monotonic() - began
            if told:
                self._on_wait("")

    @property
    def _waited(self) -> float:
        """Seconds that this thread has spent in ``wait_until``: no server is to blame for them."""
        return float(getattr(self._of_thread, "waited", 0.0))

    def _spent_since(self, begun: float) -> float:
        return self._clock.monotonic() - self._waited - begun

    def _learn(self, error: StorageError) -> None:
        if isinstance(error, RateLimited):
            with self._lock:
                self._last_limited = self._clock.monotonic()

    def _wait_for_the_limit(self, begun: float) -> None:
        """Hold this thread back while the server wants no requests."""
        with self._lock:
            left = self._open_again - self._clock.monotonic()
        if left > 0 and self._spent_since(begun) + left <= self._policy.deadline:
            self.pause(left, "for the request window")

    def _wait_or_give_up(self, error: StorageError, tries: int, begun: float) -> None:
        wait = self._wait_after(error, tries)
        spent = self._spent_since(begun)
        unheard = not self._reached and isinstance(error, ConnectionLost | AmbiguousReply)
        deadline = self._policy.deadline_before_first_answer if unheard else self._policy.deadline
        if isinstance(error, RateLimited) and self._on_limit is not None:
            self._on_limit(wait)
        damaged_too_often = isinstance(error, ShortRead) and tries >= self._policy.tries_of_damaged
        if damaged_too_often or spent + wait > deadline:
            error.args = (f"{error} (given up after {_times(tries)} in {in_words(spent)})", *error.args[1:])
            raise error
        if isinstance(error, RateLimited):
            with self._lock:
                self._open_again = max(self._open_again, self._clock.monotonic() + wait)
            return  # the next turn of the loop waits, like every other thread
        self.pause(wait, f"before trying again: {error}")

    def _wait_after(self, error: StorageError, tries: int) -> float:
        policy = self._policy
        spread = 0.5 + self._random()
        if not isinstance(error, RateLimited):
            return min(policy.first_wait * 2.0 ** min(tries - 1, 30), policy.longest_wait) * spread
        if error.until is not None:
            return max((error.until - self._clock.now()).total_seconds(), 0.0) + self._random()
        wait = policy.first_wait_when_limited * 2.0 ** min(tries - 1, 30)
        return min(wait, policy.longest_wait_when_limited) * spread


def in_words(seconds: float) -> str:
    """A duration for people: "8 s", "12 min", "1 h 5 min"."""
    whole = max(round(seconds), 0)
    if whole < 120:
        return f"{whole} s" if seconds >= 1 or seconds <= 0 else "1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _times(tries: int) -> str:
    return "one try" if tries == 1 else f"{tries} tries"
