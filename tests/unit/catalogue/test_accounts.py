"""The tables of accounts, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from backup_core.catalogue.catalogue import Catalogue
from backup_core.storage.request_ledger import Settled
from backup_core.testing.clocks import ManualClock

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def test_a_batch_counts_until_it_is_settled_or_runs_out(catalogue: Catalogue, clock: ManualClock) -> None:
    ledger = catalogue.accounts.ledger("key", shown="me@host", clock=clock)
    first = ledger.reserve(12, allowed=20, until=ledger.time() + 100)
    second = ledger.reserve(12, allowed=20, until=ledger.time() + 200)
    assert (first.count, second.count) == (12, 8)
    assert ledger.reserve(1, allowed=20, until=ledger.time() + 200).wait == pytest.approx(100)
    third = ledger.reserve(
        5, allowed=20, until=ledger.time() + 200, settled=[Settled(first.number, 9, ledger.time() + 50)]
    )
    assert third.count == 3
    assert ledger.use().in_use == ((pytest.approx(50), 9), (pytest.approx(200), 11))
    ledger.settle([Settled(second.number, 0, 0.0)])
    clock.advance(50)
    assert ledger.use().requests == 3


def test_a_block_is_told_to_all(catalogue: Catalogue, clock: ManualClock) -> None:
    ledger = catalogue.accounts.ledger("key", shown="me@host", clock=clock)
    ledger.block(60)
    again = catalogue.accounts.ledger("key", shown="me@host", clock=clock)
    assert again.use().blocked_seconds == pytest.approx(60)
    assert again.reserve(1, allowed=9, until=again.time() + 9).count == 0
    assert catalogue.accounts.known_ledger("never seen", clock=clock).use().blocked_seconds == 0


def test_two_who_reserve_at_once_never_get_more_than_there_is(catalogue: Catalogue, clock: ManualClock) -> None:
    def reserve(_: int) -> int:
        ledger = catalogue.accounts.ledger("key", shown="me@host", clock=clock)
        return sum(ledger.reserve(3, allowed=50, until=ledger.time() + 99).count for _ in range(8))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(reserve, range(4))) == 50


def test_traffic_adds_up_by_month(catalogue: Catalogue) -> None:
    tables = catalogue.accounts
    tables.add_traffic("key", "2026-11", up=3 << 31, down=5)
    tables.add_traffic("key", "2026-11", up=1, down=1)
    tables.add_traffic("key", "2026-12", up=7, down=0)
    tables.add_traffic("other", "2026-11", up=9, down=9)
    assert [(row.month, row.bytes_up, row.bytes_down) for row in tables.traffic("key")] == [
        ("2026-11", (3 << 31) + 1, 6),
        ("2026-12", 7, 0),
    ]


def test_the_newest_probe_is_kept(catalogue: Catalogue) -> None:
    tables = catalogue.accounts
    assert tables.probe("cloud") is None
    tables.save_probe("cloud", "https://h/", {"atomic_put": False}, NOW)
    tables.save_probe("cloud", "https://h/", {"atomic_put": True}, NOW)
    row = tables.probe("cloud")
    assert row is not None and row.record == {"atomic_put": True} and row.measured_at == NOW
    tables.forget_probe("cloud")
    tables.forget_probe("cloud")
    assert tables.probe("cloud") is None
