"""Transactions of the Prefect server that ``davault serve`` starts wait for each other on SQLite and do not fail."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flows._prefect_server import begin_as_writers


async def another_may_write(database: Path) -> bool:
    """Whether another program may write while a transaction of Prefect has read, and not yet written."""
    configuration = AioSqliteConfiguration(f"sqlite+aiosqlite:///{database}")
    session: AsyncSession = await configuration.session(await configuration.engine())
    async with session, configuration.begin_transaction(session):
        await session.execute(text("SELECT count(*) FROM sqlite_master"))
        with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True


def test_a_transaction_that_reads_first_cannot_be_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = AioSqliteConfiguration.begin_transaction
    assert asyncio.run(another_may_write(tmp_path / "plain.db")), "as Prefect does it: then the write fails"
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", plain)  # for its restoring
    begin_as_writers()
    assert not asyncio.run(another_may_write(tmp_path / "ours.db"))
