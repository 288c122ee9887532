"""Spans of time as people write them: ``30d``, ``2w``, ``1y6m``."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d+)\s*([hdwmy])", re.IGNORECASE)
_WHOLE = re.compile(r"\s*(?:\d+\s*[hdwmy]\s*)+", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}
_LONGEST_HOURS = 1000 * _HOURS["y"]


def parse_span(text: str) -> timedelta:
    """The span meant by ``text``: numbers with h, d, w, m (30 days) or y (365 days), added up.

    Raises ``ValueError`` saying what is expected.
    """
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a span of time; write numbers with h, d, w, m or y, such as 30d or 1y6m")
    hours = sum(int(number) * _HOURS[unit.lower()] for number, unit in _PART.findall(text))
    if not 0 < hours <= _LONGEST_HOURS:
        raise ValueError(f"{text!r} is not a span of time between an hour and a thousand years")
    return timedelta(hours=hours)
