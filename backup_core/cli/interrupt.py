"""Ctrl+C during long work: the first stops cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from backup_core.cli.exits import ExitCode
from backup_core.progress import CancelToken

_FIRST = b"\nstopping at the next safe point; press Ctrl+C again to stop at once\n"
_SECOND = b"\nstopped at once; what was stored so far is reused by the next run\n"
_STDERR = 2


def _say(text: bytes) -> None:
    # A signal handler may interrupt a write to sys.stderr, whose buffer then refuses to be entered again.
    os.write(_STDERR, text)


@contextmanager
def interruptible(
    cancel: CancelToken, *, say: Callable[[bytes], None] = _say, leave: Callable[[int], None] = os._exit
) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM set ``cancel``; the second of them ends the process at once.

    Does nothing outside the main thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def on_signal(number: int, _: FrameType | None) -> None:
        mine = os.getpid() == owner  # forked workers inherit this handler; the parent speaks and decides for them
        if cancel.cancelled:
            if mine:
                say(_SECOND)
            leave(ExitCode.CANCELLED)
            return
        cancel.cancel(f"stopped by {'Ctrl+C' if number == signal.SIGINT else signal.Signals(number).name}")
        if mine:
            say(_FIRST)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
