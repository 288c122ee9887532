"""Limits of bandwidth as people write them: ``2M``, or ``08:00-18:00=2M,else=unlimited``.

    2M                                          2 MiB a second, always
    08:00-18:00=2M,else=unlimited               slow while people work
    Mon-Fri 08:00-18:00=500K,22:00-06:00=unlimited,else=4M

Rates are bytes a second, with the units of sizes (1024 based). The first part that holds the present time counts;
outside all parts ``else`` does, and without one nothing is limited. Times are those of this machine.
"""

from __future__ import annotations

import re
from datetime import time

from backup_core.config.sizes import parse_size
from backup_core.storage.bandwidth import EVERY_DAY, SLOWEST, Span, Timetable

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNLIMITED = frozenset({"unlimited", "off"})
_SPAN = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:-[a-z]{3})?)\s+)?(?P<start>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)", re.IGNORECASE
)


def parse_timetable(text: str) -> Timetable:
    """The timetable that ``text`` describes. Raises ``ValueError`` saying what is wrong."""
    spans: list[Span] = []
    otherwise: list[int | None] = []
    for part in text.split(","):
        when, given, rate = (piece.strip() for piece in part.rpartition("="))
        if not given:
            if "," in text:
                raise ValueError(f"{part.strip()!r}: write HH:MM-HH:MM=RATE or else=RATE")
            otherwise.append(_rate(rate))
        elif when.lower() == "else":
            otherwise.append(_rate(rate))
        else:
            spans.append(_span(when, _rate(rate)))
    if len(otherwise) > 1:
        raise ValueError("there is more than one else=")
    return Timetable(tuple(spans), otherwise[0] if otherwise else None)


def _span(when: str, rate: int | None) -> Span:
    found = _SPAN.fullmatch(when)
    if found is None:
        raise ValueError(f"{when!r} is no part of a day; write HH:MM-HH:MM, or Mon-Fri HH:MM-HH:MM")
    start, end = _time(found["start"]), _time(found["end"])
    if start == end and found["end"] != "24:00":
        raise ValueError(f"{when!r} begins when it ends")
    return Span(start, end, rate, _weekdays(found["days"]))


def _weekdays(text: str | None) -> frozenset[int]:
    if text is None:
        return EVERY_DAY
    names = text.lower().split("-")
    if any(name not in _DAYS for name in names):
        raise ValueError(f"{text!r}: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun")
    first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
    return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))


def _time(text: str) -> time:
    hours, minutes = (int(part) for part in text.split(":"))
    if (hours, minutes) == (24, 0):
        return time(0, 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"{text!r} is no time of day")
    return time(hours, minutes)


def _rate(text: str) -> int | None:
    text = text.strip().lower().removesuffix("/s")
    if text in _UNLIMITED:
        return None
    rate = parse_size(text)
    if rate < SLOWEST:
        raise ValueError(f"a rate is at least {SLOWEST // 1024}K a second, or unlimited")
    return rate
