"""Bytes that an account sends and receives in a month, for providers that cap them.

Months are those of UTC: no provider says in which zone it reckons, and machines in several zones must agree.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backup_core.clock import Clock
from backup_core.errors import CatalogueError

if TYPE_CHECKING:
    from backup_core.catalogue.accounts import Accounts as AccountTables

_LOG = logging.getLogger(__name__)
_WRITE_AFTER = 32 * 1024 * 1024
"""Bytes; so much may be missing from the books when a process is killed."""


def month_of(moment: datetime) -> str:
    """YYYY-MM"""
    return f"{moment.astimezone(UTC):%Y-%m}"


def next_month(moment: datetime) -> datetime:
    """When the month after that of ``moment`` begins."""
    here = moment.astimezone(UTC)
    year, month = (here.year + 1, 1) if here.month == 12 else (here.year, here.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


class TrafficMeter:
    """Counts one account's bytes and writes them into the catalogue now and then. Safe between threads.

    A catalogue that cannot be written costs the count, never the backup.
    """

    def __init__(self, tables: AccountTables, key: str, clock: Clock) -> None:
        self._tables = tables
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._up = 0
        self._down = 0

    def __call__(self, up: int, down: int) -> None:
        """Note bytes that went over the wire."""
        with self._lock:
            self._up += up
            self._down += down
            if self._up + self._down < _WRITE_AFTER:
                return
        self.flush()

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            up, down, self._up, self._down = self._up, self._down, 0, 0
        if up or down:
            month = month_of(self._clock.now())
            _kept(lambda: self._tables.add_traffic(self._key, month, up=up, down=down))


def _kept(write: Callable[[], None]) -> None:
    try:
        write()
    except CatalogueError as error:
        _LOG.warning("the traffic of this run is missing from the month's sum: %s", error)
