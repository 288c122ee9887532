"""The window of requests of one account as a table: the book that all processes and machines on this catalogue share.

It reckons in wall time, because monotonic time means nothing on another machine or after a restart. A batch that
counts for longer than any may was written by a clock that was ahead, and is cut to the longest.
"""

from __future__ import annotations

from collections.abc import Sequence

from backup_core.catalogue.account_rows import AccountRow, RequestBatchRow
from backup_core.catalogue.statements import Statements, Store
from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.storage.request_ledger import Granted, Settled, WindowUse, wait_until_free

_BATCHES_PER_WINDOW = 50


@dataclass(frozen=True, slots=True)
class CatalogueLedger:
    """See ``storage.request_ledger.RequestLedger``. Safe between threads, processes and machines.

    Raises ``CatalogueError`` when the database cannot be written.
    """

    store: Store
    account: str
    clock: Clock

    def time(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().timestamp()

    def batch(self, requests: int) -> int:
        """A fiftieth of the window: it is written 50 times in a window, and little of it lies idle."""
        return max(requests // _BATCHES_PER_WINDOW, 1)

    def reserve(self, wanted: int, *, allowed: int, until: float, settled: Sequence[Settled] = ()) -> Granted:
        """Reserve up to ``wanted`` requests; see the protocol."""
        with self.store.writing() as statements:
            blocked_until = self._locked(statements)
            now = self.time()
            self._note(statements, settled)
            mine = {"account": self.account, "now": now, "until": until}
            statements.run("DELETE FROM request_batch WHERE account = :account AND until <= :now", mine)
            statements.run("UPDATE request_batch SET until = :until WHERE account = :account AND until > :until", mine)
            if blocked_until > now:
                return Granted(0, 0, blocked_until - now)
            in_use = self._in_use(statements)
            room = allowed - sum(count for _, count in in_use)
            if room <= 0:
                return Granted(0, 0, wait_until_free(in_use, too_many=1 - room, now=now))
            count = min(wanted, room)
            number = statements.add_numbered(RequestBatchRow(account=self.account, count=count, until=until))
            return Granted(number, count, 0.0)

    def settle(self, settled: Sequence[Settled]) -> None:
        """Note what became of batches."""
        with self.store.writing() as statements:
            self._note(statements, settled)

    def block(self, seconds: float) -> None:
        """Note that the provider refuses requests for so long."""
        until = self.time() + seconds
        with self.store.writing() as statements:
            statements.run(
                "UPDATE account SET blocked_until = :until WHERE key = :key AND blocked_until < :until",
                {"key": self.account, "until": until},
            )

    def use(self) -> WindowUse:
        """How much of the window is in use."""
        with self.store.reading() as statements:
            now = self.time()
            account = statements.get(AccountRow, self.account)
            blocked_until = account.blocked_until if account is not None else 0.0
            in_use = [(until - now, count) for until, count in self._in_use(statements) if until > now]
        return WindowUse(tuple(sorted(in_use)), max(blocked_until - now, 0.0))

    def _locked(self, statements: Statements) -> float:
        """Keep others out of this account until the end of the transaction; when the provider's block ends."""
        # PostgreSQL locks the row that is written, though nothing changes; SQLite lets only one write at all.
        statements.run("UPDATE account SET blocked_until = blocked_until WHERE key = :key", {"key": self.account})
        account = statements.get(AccountRow, self.account)
        return account.blocked_until if account is not None else 0.0

    def _note(self, statements: Statements, settled: Sequence[Settled]) -> None:
        for batch in settled:
            row = {"number": batch.number}
            if batch.count:
                statements.change(RequestBatchRow, row, {"count": batch.count, "until": batch.until})
            else:
                statements.remove(RequestBatchRow, row)

    def _in_use(self, statements: Statements) -> list[tuple[float, int]]:
        found = statements.run(
            "SELECT until, sum(count) FROM request_batch WHERE account = :account GROUP BY until",
            {"account": self.account},
        )
        return [(until, int(count)) for until, count in found]
