"""Reads the times people type after ``--at``."""

from __future__ import annotations

from datetime import date, datetime, time

EXAMPLES = '"2025-10-31", "2025-10-31 14:30", "2025-10-31T14:30:00+02:00"'


def parse_time(text: str) -> datetime:
    """A point in time, aware.

    A date alone means the end of that day, because "as of Friday" includes Friday's last backup. Without an offset
    the machine's zone is meant.

    Raises:
        ValueError: the text is no time; the message gives examples.
    """
    cleaned = text.strip()
    try:
        day = date.fromisoformat(cleaned)
    except ValueError:
        return _parse_moment(cleaned)
    return datetime.combine(day, time.max).astimezone()


def _parse_moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it like {EXAMPLES}") from None
    return moment if moment.tzinfo is not None else moment.astimezone()
