"""What work will cost an account: waiting for windows, moving bytes, the month's traffic."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.clients import ClientConfig
from backup_core.services.accounts.accounts import Accounts
from backup_core.services.accounts.forecast import transfer_seconds, waiting_seconds
from backup_core.storage.bandwidth import Span, Timetable
from backup_core.storage.request_budget import RequestBudget
from backup_core.storage.request_ledger import Priority, WindowUse
from backup_core.testing.clocks import ManualClock

WINDOW = 1800.0


def client(**changes: object) -> ClientConfig:
    return ClientConfig(**{"name": "cloud", "url": "https://dav.example.org/dav/", "username": "me", **changes})


@pytest.mark.parametrize(("requests", "waiting"), [(0, 0), (100, 0), (101, 1800), (200, 1800), (201, 3600)])
def test_each_further_window_is_waited_for(requests: int, waiting: float) -> None:
    assert waiting_seconds(requests, allowed=100, seconds=WINDOW) == waiting


def test_what_others_use_is_waited_for_as_it_becomes_free() -> None:
    use = WindowUse(in_use=((60.0, 50), (600.0, 40)))
    assert waiting_seconds(10, allowed=100, seconds=WINDOW, use=use) == 0
    assert waiting_seconds(11, allowed=100, seconds=WINDOW, use=use) == 60
    assert waiting_seconds(61, allowed=100, seconds=WINDOW, use=use) == 600
    assert waiting_seconds(100, allowed=100, seconds=WINDOW, use=use) == 600
    assert waiting_seconds(101, allowed=100, seconds=WINDOW, use=use) == WINDOW, "when our own first ten leave"


def test_more_urgent_work_may_have_used_more_than_we_may() -> None:
    use = WindowUse(in_use=((60.0, 110), (600.0, 5)), blocked_seconds=30.0)
    assert waiting_seconds(1, allowed=100, seconds=WINDOW, use=use) == 60
    assert waiting_seconds(1, allowed=100, seconds=WINDOW, use=WindowUse(blocked_seconds=30.0)) == 30


@given(requests=st.integers(0, 200), allowed=st.integers(1, 30), before=st.lists(st.floats(0, 900), max_size=40))
def test_the_forecast_is_what_the_budget_does(requests: int, allowed: int, before: list[float]) -> None:
    clock = ManualClock()
    budget = RequestBudget(allowed, WINDOW, clock=clock)

    def send() -> None:
        while wait := budget.take():
            clock.advance(wait)
        budget.give_back()

    ends: list[float] = []
    for gap in before:
        clock.advance(gap)
        send()
        ends.append(clock.monotonic())
    now = clock.monotonic()
    use = WindowUse(tuple(sorted((end + WINDOW - now, 1) for end in ends if end + WINDOW > now)))
    expected = waiting_seconds(requests, allowed=budget_allowance(allowed), seconds=WINDOW, use=use)
    for _ in range(requests):
        send()
    assert clock.monotonic() - now == pytest.approx(expected, abs=1.0)


def budget_allowance(requests: int) -> int:
    return requests - int(requests * 0.03)


def test_bytes_take_what_the_timetable_allows() -> None:
    timetable = Timetable((Span(time(8), time(18), 1_000_000),), otherwise=4_000_000)
    begins = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
    assert transfer_seconds(1_800_000_000, timetable, begins, measured=None) == 1800
    assert transfer_seconds(3_600_000_000 + 400_000_000, timetable, begins, measured=None) == 3600 + 100
    assert transfer_seconds(1_000_000, Timetable(), begins, measured=None) is None
    assert transfer_seconds(1_000_000, Timetable(), begins, measured=500_000) == 2
    assert transfer_seconds(1_800_000_000, timetable, begins, measured=500_000) == 3600, "slower than the limit"


def test_a_forecast_for_nutstore(clock: ManualClock) -> None:
    found = Accounts(clock).forecast(
        client(service_type="nutstore"), requests=1200, bytes_up=2_000_000_000, bytes_down=1_000_000
    )
    assert found.window_requests == int((600 - 18) * 0.9)
    assert found.windows == 3
    assert found.waiting_seconds == 3600
    assert (found.upload_left, found.download_left) == (1_000_000_000, 3_000_000_000)
    assert found.exceeds_traffic
    assert found.traffic_resets_at == datetime(2026, 12, 1, tzinfo=UTC)
    first, *warnings = found.sentences()
    assert first.startswith("1200 requests, 3 windows of 523 in 30 min, 60 min of waiting, done about")
    assert warnings == [
        "2000 MB will be sent, and me at dav.example.org has 1000 MB left of this month's traffic; "
        "it begins anew on 2026-12-01 (UTC)"
    ]


def test_a_restore_may_use_more_of_the_window(clock: ManualClock) -> None:
    nutstore = client(service_type="nutstore")
    shares = [Accounts(clock).forecast(nutstore, requests=1, priority=p).window_requests for p in Priority]
    assert shares == sorted(shares, key=lambda n: -(n or 0))
    assert shares[0] == 582


def test_storage_without_limits_needs_no_waiting(clock: ManualClock) -> None:
    found = Accounts(clock).forecast(client(url="file:///srv/backups", username=""), requests=10_000, bytes_up=1 << 40)
    assert (found.account, found.windows, found.waiting_seconds, found.exceeds_traffic) == ("", 0, 0.0, False)
    assert found.sentences() == ("10000 requests",)


def test_the_bandwidth_of_a_client_counts(clock: ManualClock) -> None:
    found = Accounts(clock).forecast(client(upload_limit="1M"), requests=10, bytes_up=3600 << 20)
    assert found.transfer_seconds == pytest.approx(3600)
    assert (found.finish_at - clock.now()).total_seconds() == pytest.approx(3600)
