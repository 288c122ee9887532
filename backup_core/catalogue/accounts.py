"""What is shared by all who use one account on a server: its window of requests, its traffic, its server's habits."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import Any

from sqlalchemy import Connection
from sqlmodel import Session, select

from backup_core.catalogue.account_models import AccountRow, ProbeRow, TrafficRow
from backup_core.catalogue.database import Database
from backup_core.catalogue.request_ledger import CatalogueLedger
from backup_core.clock import Clock


class Accounts:
    """The accounts by key. Safe between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ledger(self, key: str, *, shown: str, clock: Clock) -> CatalogueLedger:
        """The book of an account's window of requests."""
        with self._database.writing() as session:
            insert = _insert(session)(AccountRow).values(key=key, shown=shown, blocked_until=0.0)
            session.execute(insert.on_conflict_do_nothing(index_elements=["key"]))
        return CatalogueLedger(self._database, key, clock)

    def known_ledger(self, key: str, *, clock: Clock) -> CatalogueLedger:
        """The same for somebody who only looks; nothing is written."""
        return CatalogueLedger(self._database, key, clock)

    def add_traffic(self, key: str, month: str, *, up: int, down: int) -> None:
        """Add bytes to what an account sent and received in a month (YYYY-MM)."""
        with self._database.writing() as session:
            insert = _insert(session)(TrafficRow).values(account=key, month=month, bytes_up=up, bytes_down=down)
            grown = {"bytes_up": TrafficRow.bytes_up + up, "bytes_down": TrafficRow.bytes_down + down}
            session.execute(insert.on_conflict_do_update(index_elements=["account", "month"], set_=grown))

    def traffic(self, key: str) -> list[TrafficRow]:
        """What an account sent and received, by month."""
        with self._database.reading() as session:
            return list(session.exec(select(TrafficRow).where(TrafficRow.account == key).order_by(TrafficRow.month)))

    def save_probe(self, client: str, url: str, record: dict[str, Any], measured_at: datetime) -> None:
        """Keep the newest measurement of a client's server."""
        with self._database.writing() as session:
            session.merge(ProbeRow(client=client, url=url, record=record, measured_at=measured_at))

    def probe(self, client: str) -> ProbeRow | None:
        """The newest measurement of a client's server."""
        with self._database.reading() as session:
            return session.get(ProbeRow, client)

    def forget_probe(self, client: str) -> None:
        """Forget what was measured of a client's server."""
        with self._database.writing() as session:
            row = session.get(ProbeRow, client)
            if row is not None:
                session.delete(row)


def _insert(session: Session) -> Any:
    """The dialect's INSERT, which alone knows what to do with a row that is there already."""
    bind = session.get_bind()
    name = bind.dialect.name if isinstance(bind, Connection) else bind.engine.dialect.name
    # What PostgreSQL needs takes its time to load, and most have no use for it.
    return import_module(f"sqlalchemy.dialects.{name}").insert
