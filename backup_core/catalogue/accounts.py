"""What is shared by all who use one account on a server: its window of requests, its traffic, its server's habits."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.account_rows import AccountRow, ProbeRow, TrafficRow
from backup_core.catalogue.statements import Store
from backup_core.clock import Clock

if TYPE_CHECKING:
    from backup_core.catalogue.request_ledger import CatalogueLedger


class Accounts:
    """The accounts by key. Safe between threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ledger(self, key: str, *, shown: str, clock: Clock) -> CatalogueLedger:
        """The book of an account's window of requests."""
        with self._store.writing() as statements:
            statements.add_unless_there(AccountRow(key=key, shown=shown))
        return self.known_ledger(key, clock=clock)

    def known_ledger(self, key: str, *, clock: Clock) -> CatalogueLedger:
        """The same for somebody who only looks; nothing is written."""
        from backup_core.catalogue.request_ledger import CatalogueLedger

        return CatalogueLedger(self._store, key, clock)

    def add_traffic(self, key: str, month: str, *, up: int, down: int) -> None:
        """Add bytes to what an account sent and received in a month (YYYY-MM)."""
        with self._store.writing() as statements:
            statements.run(
                "INSERT INTO traffic (account, month, bytes_up, bytes_down) VALUES (:account, :month, :up, :down) "
                "ON CONFLICT (account, month) DO UPDATE SET bytes_up = traffic.bytes_up + excluded.bytes_up, "
                "bytes_down = traffic.bytes_down + excluded.bytes_down",
                {"account": key, "month": month, "up": up, "down": down},
            )

    def traffic(self, key: str) -> list[TrafficRow]:
        """What an account sent and received, by month."""
        with self._store.reading() as statements:
            return statements.find(TrafficRow, {"account": key}, order=("month",))

    def save_probe(self, client: str, url: str, record: dict[str, Any], measured_at: datetime) -> None:
        """Keep the newest measurement of a client's server."""
        with self._store.writing() as statements:
            statements.put(ProbeRow(client=client, url=url, record=record, measured_at=measured_at))

    def probe(self, client: str) -> ProbeRow | None:
        """The newest measurement of a client's server."""
        with self._store.reading() as statements:
            return statements.get(ProbeRow, client)

    def forget_probe(self, client: str) -> None:
        """Forget what was measured of a client's server."""
        with self._store.writing() as statements:
            statements.remove(ProbeRow, {"client": client})
