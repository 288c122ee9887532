"""The shared book of requests, for work that must not fail when the book does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from backup_core.clock import Clock
from backup_core.errors import CatalogueError
from backup_core.services.accounts.identity import Account
from backup_core.storage.request_ledger import Granted, MemoryLedger, RequestLedger, Settled, WindowUse

if TYPE_CHECKING:
    from backup_core.catalogue.accounts import Accounts as AccountTables

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class DurableLedger:
    """The catalogue's book of an account; should the catalogue fail, one in memory, which knows only this process.

    Backups must go on without the catalogue, which can be rebuilt, and a book of our own requests is better than none.
    Safe between threads and processes.
    """

    def __init__(self, tables: AccountTables, account: Account, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spare = MemoryLedger(clock, time=self.time)
        self._account = account
        self._ledger: RequestLedger
        try:
            self._ledger = tables.ledger(account.key, shown=account.shown, clock=clock)
        except CatalogueError as error:
            self._fall_back(error)

    def time(self) -> float:
        """Seconds since 1970."""
        return self._clock.now().timestamp()

    def batch(self, requests: int) -> int:
        """As the book in use says."""
        return self._ledger.batch(requests)

    def reserve(self, wanted: int, *, allowed: int, until: float, settled: Sequence[Settled] = ()) -> Granted:
        """See the protocol."""
        return self._on_catalogue(lambda: self._ledger.reserve(wanted, allowed=allowed, until=until, settled=settled))

    def settle(self, settled: Sequence[Settled]) -> None:
        """See the protocol."""
        self._on_catalogue(lambda: self._ledger.settle(settled))

    def block(self, seconds: float) -> None:
        """See the protocol."""
        self._on_catalogue(lambda: self._ledger.block(seconds))

    def use(self) -> WindowUse:
        """See the protocol."""

        def look() -> WindowUse:
            return self._ledger.use()

        return self._on_catalogue(look)

    def _fall_back(self, error: CatalogueError) -> None:
        _LOG.warning("from now on only this process's requests to %s are counted: %s", self._account.shown, error)
        self._ledger = self._spare

    def _on_catalogue(self, operation: Callable[[], _Result]) -> _Result:
        try:
            return operation()
        except CatalogueError as error:
            with self._lock:
                if self._ledger is not self._spare:
                    self._fall_back(error)
            return operation()
