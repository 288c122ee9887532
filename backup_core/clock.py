"""The only module that reads the time or waits. Everything else is handed a ``Clock``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol

from backup_core.progress import CancelToken


class Clock(Protocol):
    """Time as the rest of the library sees it."""

    def now(self) -> datetime:
        """The present moment, aware, in the machine's zone, microsecond resolution."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for measuring and for deadlines."""
        ...

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        """Wait; raise ``Cancelled`` at once when ``cancel`` is set meanwhile."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        if cancel is None:
            time.sleep(seconds)
        elif cancel.wait(seconds):
            cancel.check()
