"""Durations as people write them: ``90s``, ``30m``, ``4h``, ``1d 12h``, ``2w``."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WORDS = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d", "week": "w"}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_duration(text: str | float) -> float:
    """Seconds meant by ``text``: numbers with units, added up; a number alone is seconds.

    Raises ``ValueError`` saying what is expected.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    wrong = ValueError(f"{text!r} is not a duration; write numbers with s, m, h, d or w, such as 4h or 1d 12h")
    if not isinstance(text, str) or not text.strip():
        raise wrong
    seconds, at = 0.0, 0
    cleaned = text.strip().replace(",", " ")
    while at < len(cleaned):
        found = _PART.match(cleaned, at)
        if found is None:
            raise wrong
        word = found[2].lower() or "s"
        unit = _UNITS.get(_WORDS.get(word.rstrip("s") or word, word.rstrip("s") or word))
        if unit is None:
            raise wrong
        seconds += float(found[1]) * unit
        at = found.end()
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads as so many seconds: ``1d 12h``, ``90m`` as ``1h 30m``."""
    parts, left = [], round(seconds, 3)
    for letter in ("w", "d", "h", "m"):
        count = int(left // _UNITS[letter])
        if count:
            parts.append(f"{count}{letter}")
            left = round(left - count * _UNITS[letter], 3)
    if left or not parts:
        parts.append(f"{left:g}s")
    return " ".join(parts)
