"""Points of time in Go's spelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from backup_core.errors import Corrupt
from backup_core.format.go_time import (
    format_datetime,
    format_time,
    nanoseconds_of,
    parse_datetime,
    parse_time,
)

SECOND = 1_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
        (-62_135_596_800 * SECOND, "0001-01-01T00:00:00Z"),
        (-62_167_219_200 * SECOND, "0000-01-01T00:00:00Z"),
        (-62_162_121_600 * SECOND, "0000-02-29T00:00:00Z"),
        (253_402_300_799 * SECOND, "9999-12-31T23:59:59Z"),
    ],
)
def test_utc(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds, UTC) == text
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (253_402_300_800 * SECOND, "9999-01-01T00:00:00Z"),
        (-62_167_219_201 * SECOND, "0000-12-31T23:59:59Z"),
        (253_407_484_800 * SECOND, "9999-03-01T00:00:00Z"),
    ],
)
def test_years_beyond_four_digits_become_the_last_or_first(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds, UTC) == text


@pytest.mark.parametrize(
    ("zone", "second", "text"),
    [
        # The second before the clocks change and the second after, both ways.
        (BERLIN, 1_711_846_799, "2024-03-31T01:59:59+01:00"),
        (BERLIN, 1_711_846_800, "2024-03-31T03:00:00+02:00"),
        (BERLIN, 1_729_990_799, "2024-10-27T02:59:59+02:00"),
        (BERLIN, 1_729_990_800, "2024-10-27T02:00:00+01:00"),
        # Clocks that changed a minute past midnight, and a zone off by half an hour.
        (ZoneInfo("America/St_Johns"), 1_173_583_859, "2007-03-11T00:00:59-03:30"),
        (ZoneInfo("America/St_Johns"), 1_173_583_860, "2007-03-11T01:01:00-02:30"),
        # Local mean time: Go drops the 28 seconds of +00:53:28 from the text, not from the clock.
        (BERLIN, -3_000_000_000, "1874-12-07T19:33:28+00:53"),
        (timezone(timedelta(seconds=-30)), 0, "1969-12-31T23:59:30+00:00"),
        (timezone(timedelta(hours=-12)), 0, "1969-12-31T12:00:00-12:00"),
        (ZoneInfo("Etc/UTC"), 0, "1970-01-01T00:00:00Z"),
        (ZoneInfo("Europe/London"), 1_700_000_000, "2023-11-14T22:13:20Z"),
    ],
)
def test_zones(zone: ZoneInfo, second: int, text: str) -> None:
    assert format_time(second * SECOND, zone) == text


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T23:00:00.5-01:00", SECOND // 2),
        ("1970-01-01T00:00:00.123456789123Z", 123_456_789),
        ("1970-01-01T00:00:00+00:00", 0),
        ("1970-01-01T00:00:00.0Z", 0),
    ],
)
def test_any_zone_is_read(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "now",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-01-01t00:00:00z",
        "1970-02-30T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1_0Z",
        "1970-01-01T00:00:00.-1Z",
        "1970-01-01T00:00:00.\u0661Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+01:60",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00Z ",
        " 1970-01-01T00:00:00Z",
        "-970-01-01T00:00:00Z",
        "11970-01-01T00:00:00Z",
        "\u0661970-01-01T00:00:00Z",
    ],
)
def test_other_text_is_corrupt(text: str) -> None:
    for read in (parse_time, parse_datetime):
        with pytest.raises(Corrupt):
            read(text)


@pytest.mark.parametrize("value", [None, 7, [], {}, b"1970-01-01T00:00:00Z", 1.5])
def test_other_types_are_corrupt(value: object) -> None:
    with pytest.raises(Corrupt):
        parse_time(value)  # type: ignore[arg-type] - what JSON from a server may hold


def test_datetimes_keep_their_zone() -> None:
    moment = datetime(2024, 7, 1, 12, 30, 15, 250_000, tzinfo=BERLIN)
    text = format_datetime(moment)
    assert text == "2024-07-01T12:30:15.25+02:00"
    assert parse_datetime(text) == moment
    assert parse_datetime(text).utcoffset() == timedelta(hours=2)
    assert nanoseconds_of(moment) == parse_time(text)


def test_datetimes_drop_what_is_finer_than_microseconds() -> None:
    assert parse_datetime("1969-12-31T23:59:59.9999999Z") == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0000-06-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_times_that_datetime_cannot_hold_are_corrupt(text: str) -> None:
    assert isinstance(parse_time(text), int)
    with pytest.raises(Corrupt, match="calendar"):
        parse_datetime(text)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_datetime(datetime(2024, 1, 1))
