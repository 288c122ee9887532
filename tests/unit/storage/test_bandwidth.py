"""Holding transfers to a bandwidth, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.timetables import parse_timetable
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.storage.account import AccountUse
from backup_core.storage.bandwidth import EVERY_DAY, Span, Throttle, Throttles, Timetable
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.fake_webdav import BASE, HOST, FakeDav
from backup_core.types import Secret

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
WORKDAYS = frozenset(range(5))
M = 1 << 20


def at(hour: int, minute: int = 0, *, day: int = 23) -> datetime:
    return MONDAY.replace(day=day, hour=hour, minute=minute)


@pytest.mark.parametrize(
    ("text", "spans", "otherwise"),
    [
        ("2M", (), 2 * M),
        ("unlimited", (), None),
        ("08:00-18:00=2M,else=unlimited", (Span(time(8), time(18), 2 * M),), None),
        (" 8:00 - 18:00 = 2M/s , else = off ", (Span(time(8), time(18), 2 * M),), None),
        ("22:00-06:00=unlimited,else=4M", (Span(time(22), time(6), None),), 4 * M),
        ("Mon-Fri 08:00-18:00=500K,Sat 00:00-24:00=1M", (
            Span(time(8), time(18), 500 * 1024, WORKDAYS), Span(time(0), time(0), M, frozenset({5}))), None),
        ("Fri-Mon 08:00-18:00=2M", (Span(time(8), time(18), 2 * M, frozenset({4, 5, 6, 0})),), None),
    ],
)  # fmt: skip
def test_what_people_write(text: str, spans: tuple[Span, ...], otherwise: int | None) -> None:
    assert parse_timetable(text) == Timetable(spans, otherwise)


@pytest.mark.parametrize(
    "text",
    ["", "fast", "2M,3M", "08:00-18:00", "25:00-26:00=1M", "08:60-09:00=1M", "08:00-08:00=1M", "else=1M,else=2M",
     "Mon-Xyz 08:00-18:00=2M", "08:00-18:00=", "100", "-5M", "noon=2M"],
)  # fmt: skip
def test_what_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timetable(text)


def test_the_first_part_that_holds_counts_also_past_midnight() -> None:
    table = parse_timetable("12:00-13:00=1M,Mon-Fri 08:00-18:00=2M,Fri 22:00-06:00=3M,else=4M")
    assert table.rate_at(at(7, 59)) == 4 * M
    assert table.rate_at(at(8)) == 2 * M
    assert table.rate_at(at(12, 30)) == 1 * M
    assert table.rate_at(at(18)) == 4 * M
    assert table.rate_at(at(10, day=28)) == 4 * M, "a Saturday"
    assert table.rate_at(at(23, day=27)) == 3 * M, "Friday night"
    assert table.rate_at(at(5, 59, day=28)) == 3 * M, "still the night of Friday"
    assert table.rate_at(at(5, 59, day=27)) == 4 * M, "the night of Thursday"
    whole_day = parse_timetable("00:00-24:00=1M,else=2M")
    assert {whole_day.rate_at(at(hour)) for hour in range(24)} == {M}


@given(
    st.integers(1024, 50 * M),
    st.lists(st.tuples(st.integers(1, 2 * M), st.floats(0, 3)), min_size=1, max_size=60),
)
def test_no_more_passes_than_the_rate_allows(rate: int, passes: list[tuple[int, float]]) -> None:
    clock = ManualClock()
    throttle = Throttle(Timetable(otherwise=rate), clock)
    begun, passed = clock.monotonic(), 0
    for size, pause in passes:
        clock.advance(pause)
        throttle.passing(size)
        # What is let through at this moment may still be on its way; all before it fits into the rate and one burst.
        assert passed <= rate * (clock.monotonic() - begun + 0.25) + 1
        passed += size


def test_without_a_limit_nothing_waits(clock: ManualClock) -> None:
    throttle = Throttle(Timetable(), clock)
    throttle.passing(1 << 40)
    throttle.passing(1 << 40)
    assert clock.slept == []
    assert throttle.slice_size(1000) == 1000


def test_a_limit_ends_when_its_time_ends() -> None:
    clock = ManualClock(at(17, 59))
    throttle = Throttle(parse_timetable("08:00-18:00=1M"), clock)
    for _ in range(600):
        throttle.passing(M // 4)
    assert sum(clock.slept) == pytest.approx(60, abs=1), "then all the rest passes at once"


def test_waiting_ends_when_the_caller_cancels(clock: ManualClock) -> None:
    throttle, cancel = Throttle(Timetable(otherwise=1024), clock), CancelToken()
    throttle.passing(M, cancel)
    cancel.cancel()
    with pytest.raises(Cancelled):
        throttle.passing(1, cancel)


def backend_on(server: FakeDav, clock: ManualClock, throttles: Throttles, **options: Any) -> WebDAVBackend:
    return WebDAVBackend(
        f"https://{HOST}{BASE}",
        username="me",
        password=Secret("secret"),
        options=BackendOptions(**options),
        clock=clock,
        account=AccountUse(throttles=throttles),
        transport=httpx.MockTransport(server),
    )


@pytest.mark.parametrize("rate", [64 * 1024, M, 4 * M])
def test_bodies_are_held_to_the_rate_both_ways(clock: ManualClock, rate: int) -> None:
    throttles = Throttles(
        up=Throttle(Timetable(otherwise=rate), clock), down=Throttle(Timetable(otherwise=2 * rate), clock)
    )
    backend = backend_on(FakeDav(), clock, throttles)
    content = bytes(range(256)) * (16 * 1024)
    backend.put("data/aa", content)
    up = sum(clock.slept)
    assert up == pytest.approx(len(content) / rate, rel=0.05, abs=0.6)
    assert max(clock.slept) <= 0.3, "it flows, and can be cancelled at any moment"
    backend.put("data/bb", [content, content])
    assert sum(clock.slept) - up == pytest.approx(2 * len(content) / rate, rel=0.05, abs=0.6)


def test_downloads_are_held_back_chunk_by_chunk(clock: ManualClock) -> None:
    server, plain = FakeDav(), ManualClock()
    content = b"x" * M
    backend_on(server, plain, Throttles()).put("data/aa", content)

    class Chunked(httpx.SyncByteStream):
        def __iter__(self) -> Iterable[bytes]:  # type: ignore[override]
            return iter([content[n : n + 65536] for n in range(0, M, 65536)])

    def chunked(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if request.method != "GET":
            return response
        return httpx.Response(response.status_code, headers=response.headers, stream=Chunked())

    backend = WebDAVBackend(
        f"https://{HOST}{BASE}", username="me", password=Secret("secret"), options=BackendOptions(), clock=clock,
        account=AccountUse(throttles=Throttles(down=Throttle(Timetable(otherwise=M // 4), clock))),
        transport=httpx.MockTransport(chunked),
    )  # fmt: skip
    assert backend.get("data/aa") == content
    assert sum(clock.slept) == pytest.approx(4, abs=0.6)


def test_days_are_all_unless_said() -> None:
    assert parse_timetable("08:00-18:00=1M").spans[0].days == EVERY_DAY
