"""The window of requests of one account as a table: the book that all processes and machines on this catalogue share.

It reckons in wall time, because monotonic time means nothing on another machine or after a restart. A batch that
counts for longer than any may was written by a clock that was ahead, and is cut to the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from backup_core.catalogue.account_models import AccountRow, RequestBatchRow
from backup_core.catalogue.database import Database
from backup_core.clock import Clock
from backup_core.storage.request_ledger import Granted, Settled, WindowUse, wait_until_free

_BATCHES_PER_WINDOW = 50


@dataclass(frozen=True, slots=True)
class CatalogueLedger:
    """See ``storage.request_ledger.RequestLedger``. Safe between threads, processes and machines.

    Raises ``CatalogueError`` when the database cannot be written.
    """

    database: Database
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
        with self.database.writing() as session:
            blocked_until = self._locked(session)
            now = self.time()
            self._note(session, settled)
            session.execute(
                delete(RequestBatchRow)
                .where(col(RequestBatchRow.account) == self.account)
                .where(col(RequestBatchRow.until) <= now)
            )
            session.execute(
                update(RequestBatchRow)
                .where(col(RequestBatchRow.account) == self.account, col(RequestBatchRow.until) > until)
                .values(until=until)
            )
            if blocked_until > now:
                return Granted(0, 0, blocked_until - now)
            in_use = self._in_use(session)
            room = allowed - sum(count for _, count in in_use)
            if room <= 0:
                return Granted(0, 0, wait_until_free(in_use, too_many=1 - room, now=now))
            batch = RequestBatchRow(account=self.account, count=min(wanted, room), until=until)
            session.add(batch)
            session.flush()
            return Granted(batch.number or 0, batch.count, 0.0)

    def settle(self, settled: Sequence[Settled]) -> None:
        """Note what became of batches."""
        with self.database.writing() as session:
            self._note(session, settled)

    def block(self, seconds: float) -> None:
        """Note that the provider refuses requests for so long."""
        until = self.time() + seconds
        with self.database.writing() as session:
            session.execute(
                update(AccountRow)
                .where(col(AccountRow.key) == self.account, col(AccountRow.blocked_until) < until)
                .values(blocked_until=until)
            )

    def use(self) -> WindowUse:
        """How much of the window is in use."""
        with self.database.reading() as session:
            now = self.time()
            account = session.get(AccountRow, self.account)
            blocked_until = account.blocked_until if account is not None else 0.0
            in_use = [(until - now, count) for until, count in self._in_use(session) if until > now]
        return WindowUse(tuple(sorted(in_use)), max(blocked_until - now, 0.0))

    def _locked(self, session: Session) -> float:
        """Keep others out of this account until the end of the transaction; when the provider's block ends."""
        query = select(AccountRow.blocked_until).where(AccountRow.key == self.account).with_for_update()
        return session.exec(query).one_or_none() or 0.0

    def _note(self, session: Session, settled: Sequence[Settled]) -> None:
        for batch in settled:
            row = col(RequestBatchRow.number) == batch.number
            if batch.count:
                session.execute(update(RequestBatchRow).where(row).values(count=batch.count, until=batch.until))
            else:
                session.execute(delete(RequestBatchRow).where(row))

    def _in_use(self, session: Session) -> list[tuple[float, int]]:
        query = select(RequestBatchRow.until, func.sum(RequestBatchRow.count)).where(
            RequestBatchRow.account == self.account
        )
        return [(until, int(count)) for until, count in session.exec(query.group_by(col(RequestBatchRow.until)))]
