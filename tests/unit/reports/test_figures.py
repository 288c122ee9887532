"""Forecasts, ratios, windows, and what asks for attention."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.reports import measures, words
from backup_core.reports.forecast import HORIZON, forecast_band, forecast_limit
from backup_core.reports.frames import load_frames
from backup_core.reports.report import Promises, Report, build_report

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def series(values: list[int]) -> pd.Series:
    return pd.Series(values, dtype="int64")


def test_steady_growth_is_foretold_to_the_day() -> None:
    found = forecast_limit(series([1000 + 10 * day for day in range(60)]), 2590, today=TODAY)
    assert found.growth_per_day == 10.0 and found.probability == 1.0
    assert found.likely == found.early == found.late == TODAY + timedelta(days=100)
    assert not found.reached


def test_what_does_not_grow_never_arrives() -> None:
    found = forecast_limit(series([500] * 60), 501, today=TODAY)
    assert (found.probability, found.likely, found.early, found.late) == (0.0, None, None, None)
    assert words.when_reached(found) == "not in 5 years"


def test_a_limit_that_is_reached() -> None:
    found = forecast_limit(series([500]), 500, today=TODAY)
    assert found.reached and found.likely == TODAY and words.when_reached(found) == "full"


@pytest.mark.parametrize("days", [0, 1, 14])
def test_too_short_a_past_says_nothing(days: int) -> None:
    found = forecast_limit(series(list(range(days))), 10**6, today=TODAY)
    assert found.learned_days == 0 and found.likely is None and words.when_reached(found) == "too early to tell"
    assert forecast_band(series(list(range(days))), 10).empty


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-50, 200), min_size=20, max_size=200), st.integers(1, 5000))
def test_forecasts_are_ordered_and_the_same_each_time(changes: list[int], room: int) -> None:
    stored = series(changes).cumsum() + 10_000
    limit = int(stored.iloc[-1]) + room
    found = forecast_limit(stored, limit, today=TODAY)
    days = [day for day in (found.early, found.likely, found.late) if day is not None]
    assert days == sorted(days) and all(TODAY < day <= TODAY + timedelta(days=HORIZON) for day in days)
    assert (found.likely is None) == (found.probability < 0.5)
    assert found == forecast_limit(stored, limit, today=TODAY)
    band = forecast_band(stored, 30)
    assert (band["low"] <= band["middle"]).all() and (band["middle"] <= band["high"]).all()


def test_a_weekly_cleanup_stays_in_the_forecast() -> None:
    """Six days of growth and one of shrinking: the net growth counts, not that of the six."""
    changes = [70] * 6 + [-350]
    stored = series([0, *changes * 20]).cumsum() + 1000
    found = forecast_limit(stored, int(stored.iloc[-1]) + 3500, today=TODAY)
    assert found.likely is not None and 300 < (found.likely - TODAY).days <= 350


def requests(*runs: tuple[float, float, int]) -> pd.DataFrame:
    """(start in seconds, duration, requests) of each run."""
    rows = [
        {"run_id": n, "started": pd.Timestamp(start, unit="s", tz="UTC"), "seconds": lasted, "requests": count}
        for n, (start, lasted, count) in enumerate(runs)
    ]
    return pd.DataFrame(rows, columns=["run_id", "started", "seconds", "requests"])


@pytest.mark.parametrize(
    ("runs", "busiest"),
    [
        ((), 0.0),
        (((0, 100, 300),), 300.0),
        (((0, 3600, 1200),), 600.0),  # spread over two windows
        (((0, 100, 300), (1700, 100, 200)), 500.0),
        (((0, 100, 300), (1900, 100, 200)), 300.0),
        (((0, 1000, 100), (1500, 1000, 400)), 430.0),  # 300 seconds of the first and all of the second
    ],
)
def test_the_busiest_window(runs: tuple[tuple[float, float, int], ...], busiest: float) -> None:
    found, at = measures.busiest_window(requests(*runs), timedelta(minutes=30))
    assert found == pytest.approx(busiest, abs=1e-3)
    assert (at is None) == (not runs)


def test_ratios_of_nothing_are_unknown(empty: Catalogue) -> None:
    report = build_report(load_frames(empty, zone=UTC), now=NOW, promises=Promises(budget_bytes=10))
    whole = report.overall
    assert (whole.space_ratio, whole.dedup_ratio, whole.compression_ratio, whole.success_rate) == (None,) * 4
    assert whole.age is None and not whole.rpo_met and report.attention == () and report.clients == ()
    assert words.headline(report)[0].value == "0 B"


def test_the_figures_of_a_month(report: Report) -> None:
    by_name = {figures.name: figures for figures in report.configurations}
    database = by_name["database"]
    assert set(by_name) == {"database", "photos", "重要文档"}
    assert database.backups == 30 and database.compression_ratio == pytest.approx(1 / 0.30, rel=1e-6)
    assert database.space_ratio == pytest.approx(database.dedup_ratio * database.compression_ratio)
    assert report.overall.age == max(figures.age for figures in report.configurations)
    assert report.overall.stored_bytes == sum(figures.stored_bytes for figures in report.configurations)
    cloud = next(client for client in report.clients if client.name == "cloud")
    assert cloud.configurations == ("photos", "重要文档") and cloud.window_requests == 600
    assert cloud.room.limit_bytes == cloud.stored_bytes + cloud.available_bytes
    assert report.budget.limit_bytes == 100 * 1024**3


def run(catalogue: Catalogue, outcome: str, at: datetime, *, error: str = "") -> None:
    number = catalogue.history.begin_run(RunRow(kind="backup", configuration="a", started_at=at))
    catalogue.history.end_run(number, outcome=outcome, ended_at=at + timedelta(seconds=5), error=error)


def test_what_is_wrong_asks_for_attention(empty: Catalogue) -> None:
    empty.setups.save_configuration("a", {}, NOW, client="c", target_path="/a")
    empty.setups.save_configuration("never", {}, NOW, client="c", target_path="/b")
    run(empty, "completed", NOW - timedelta(hours=50))
    run(empty, "failed", NOW - timedelta(hours=26), error="the server is full")
    run(empty, "cancelled", NOW - timedelta(hours=2))
    empty.history.add_validation(
        ValidationRow(
            backup_id="a_1", snapshot_id="1", configuration="a", depth="quick", started_at=NOW, is_valid=False
        )
    )
    report = build_report(load_frames(empty, zone=UTC), now=NOW)
    told = {(one.subject, one.serious): one.message for one in report.attention}
    messages = [f"{one.subject}: {one.message}" for one in report.attention]
    assert "a: the last good backup is 50 hours old; 48 are allowed" in messages
    assert "a: the last validation found damage" in messages
    assert ("never", True) in told and not report.overall.rpo_met and report.overall.age is None
    assert "1 of 3 backups of the last 30 days failed, the last one: the server is full" in told["a", False]
    assert [one.serious for one in report.attention] == sorted((o.serious for o in report.attention), reverse=True)
    assert report.configurations[0].success_rate == 0.5, "a cancelled run counts for neither"


def test_a_limit_that_comes_near_is_told(report: Report) -> None:
    tight = Promises(budget_bytes=report.overall.stored_bytes + 1024**3, windows={"cloud": (20, timedelta(minutes=30))})
    told = [one.message for one in build_report(report.frames, now=report.made_at, promises=tight).attention]
    assert any("the storage budget may be used up from 2026-03" in message for message in told)
    assert any("of the 20 requests that the provider allows" in message for message in told)
    full = Promises(budget_bytes=1)
    worst = build_report(report.frames, now=report.made_at, promises=full).attention[0]
    assert worst.serious and worst.message == "the storage budget is used up"
