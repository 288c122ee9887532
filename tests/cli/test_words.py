"""Sizes, durations, names and times, to and from people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.cli import units
from backup_core.cli.times import parse_time


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5 * 1024**6, "5120.0 PiB"),
    ],
)
def test_sizes_have_binary_units(count: int, shown: str) -> None:
    assert units.size(count) == shown


@given(st.integers(0, 2**62))
def test_a_size_is_never_shown_as_1024_of_a_unit(count: int) -> None:
    number, unit = units.size(count).split()
    assert float(number) < 1024 or unit == "PiB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.0 s"),
        (0.04, "40 ms"),
        (9.94, "9.9 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3600 * 26 + 59, "26 h 00 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert units.duration(seconds) == shown


@given(st.text())
def test_foreign_text_cannot_steer_the_terminal(text: str) -> None:
    assert units.printable(text).isprintable()


def test_plain_text_of_any_script_stays_as_it_is() -> None:
    assert units.printable("重要文档 été 🦊.txt") == "重要文档 été 🦊.txt"
    assert units.printable("a\x1b[31mb\n\udc80") == "a\\x1b[31mb\\n\\udc80"


def test_naive_times_are_local_and_machines_get_an_offset() -> None:
    moment = datetime(2025, 10, 31, 2, 0, 0)
    assert units.moment(moment) == "2025-10-31 02:00:00"
    assert datetime.fromisoformat(units.timestamp(moment) or "") == moment.astimezone()
    assert units.timestamp(None) is None
    assert units.moment(None) == "-"


def test_a_date_alone_means_the_end_of_that_day() -> None:
    moment = parse_time("2025-10-31")
    assert (moment.date().isoformat(), moment.hour, moment.minute) == ("2025-10-31", 23, 59)
    assert moment.tzinfo is not None


@pytest.mark.parametrize("text", ["2025-10-31 14:30", "2025-10-31T14:30", " 2025-10-31T14:30:00 "])
def test_times_without_an_offset_are_local(text: str) -> None:
    assert parse_time(text) == datetime(2025, 10, 31, 14, 30).astimezone()


def test_times_with_an_offset_keep_it() -> None:
    assert parse_time("2025-10-31T14:30:00+02:00") == datetime(2025, 10, 31, 12, 30, tzinfo=UTC)
    assert parse_time("2025-10-31T14:30:00Z").utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "yesterday", "31.10.2025", "2025-13-01", "2025-10-31 25:00"])
def test_other_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="2025-10-31 14:30"):
        parse_time(text)
