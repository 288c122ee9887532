"""Points of time as Go writes them into JSON (RFC 3339 with up to nine decimals), to and from integer nanoseconds.

A directory of files needs two of these per file, so the common way avoids ``datetime``: the offset of the zone is
looked up per stretch of 68 minutes, the date per day, and the rest comes from small tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Generic, TypeVar

from backup_core.errors import Corrupt

_SECOND = 1_000_000_000
_DAY = 86400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146097
_SLOT_BITS = 12
_MAX_CACHED = 1 << 15

_MINUTES = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440))
_SECONDS = tuple(f":{second:02d}" for second in range(60))
_SECONDS_OF_MINUTE = {text: 60 * minute for minute, text in enumerate(_MINUTES)}
_SECONDS_OF_TEXT = {text: second for second, text in enumerate(_SECONDS)}

_is_date = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})T").fullmatch
_is_offset = re.compile("([+-])([01][0-9]|2[0-3]):([0-5][0-9])").fullmatch

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Cache(dict[_K, _V], Generic[_K, _V]):
    """A dictionary that computes what it lacks and starts over when it grows too long."""

    def __init__(self, compute: Callable[[_K], _V]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: _K) -> _V:
        value = self._compute(key)
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[key] = value
        return value


def _date_text(day: int) -> str:
    # The calendar repeats every 400 years, which lets datetime's years 1 to 400 stand for all others.
    cycle, inner = divmod(day + _EPOCH_ORDINAL - 1, _CYCLE_DAYS)
    found = date.fromordinal(inner + 1)
    year, month, month_day = found.year + cycle * _CYCLE_YEARS, found.month, found.day
    if not 0 <= year <= 9999:
        # RFC 3339 has four digits for the year. restic keeps the rest of the date, and so the ids agree.
        year = 0 if year < 0 else 9999
        if year == 9999 and (month, month_day) == (2, 29):
            month, month_day = 3, 1
    return f"{year:04d}-{month:02d}-{month_day:02d}T"


def _day_of(text: str) -> int:
    match = _is_date(text)
    if match is None:
        raise ValueError(text)
    year, month, day = map(int, match.groups())
    ordinal = date(year or _CYCLE_YEARS, month, day).toordinal() - _EPOCH_ORDINAL
    return ordinal if year else ordinal - _CYCLE_DAYS


def _offset_of(text: str) -> int:
    if text == "Z":
        return 0
    match = _is_offset(text)
    if match is None:
        raise ValueError(text)
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds


_date_texts: _Cache[int, str] = _Cache(_date_text)
_days: _Cache[str, int] = _Cache(_day_of)
_offsets: _Cache[str, int] = _Cache(_offset_of)


class _Zone:
    """The offsets of one time zone, as seconds east of Greenwich and as text."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.slots: _Cache[int, tuple[int, str] | None] = _Cache(self._slot)

    def at(self, second: int) -> tuple[int, str]:
        """Offset at this second since the epoch. Beyond what datetime can hold, that of its first and last day."""
        first, last = -62135510400, 253402214400  # 0001-01-02, 9999-12-31
        moment = _EPOCH + timedelta(seconds=min(max(second, first), last))
        offset = moment.astimezone(self._zone).utcoffset() or timedelta()
        seconds = offset.days * _DAY + offset.seconds
        if seconds == 0:
            return 0, "Z"
        # Go cuts off the seconds of an offset (local mean times have them), towards zero.
        minutes = abs(seconds) // 60
        sign = "-" if seconds <= -60 else "+"
        return seconds, f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"

    def _slot(self, slot: int) -> tuple[int, str] | None:
        """The offset all through a stretch of 4096 seconds, or None when it changes within."""
        start = slot << _SLOT_BITS
        offset = self.at(start)
        return offset if offset == self.at(start + (1 << _SLOT_BITS)) else None


@lru_cache(maxsize=64)
def time_format(zone: tzinfo) -> Callable[[int], str]:
    """A function that writes nanoseconds since the epoch as text in this zone.

    Years before 0 and after 9999 become 0 and 9999, as restic does it.
    """
    times = _Zone(zone)
    slots, exact = times.slots, times.at
    dates, minutes, seconds = _date_texts, _MINUTES, _SECONDS

    def format_nanoseconds(nanoseconds: int) -> str:
        second, fraction = divmod(nanoseconds, _SECOND)
        offset, suffix = slots[second >> _SLOT_BITS] or exact(second)
        day, rest = divmod(second + offset, _DAY)
        minute, rest = divmod(rest, 60)
        if fraction:
            digits = f"{fraction:09d}".rstrip("0")
            return f"{dates[day]}{minutes[minute]}{seconds[rest]}.{digits}{suffix}"
        return f"{dates[day]}{minutes[minute]}{seconds[rest]}{suffix}"

    return format_nanoseconds


def format_time(nanoseconds: int, zone: tzinfo) -> str:
    """Nanoseconds since the epoch as text in this zone. For many of them take ``time_format``."""
    return time_format(zone)(nanoseconds)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch, from text in any zone. Digits beyond the ninth are dropped. Raises ``Corrupt``."""
    try:
        seconds = _days[text[:11]] * _DAY
        seconds += _SECONDS_OF_MINUTE[text[11:16]] + _SECONDS_OF_TEXT[text[16:19]]
        zone_at = -1 if text[-1] == "Z" else -6
        fraction = text[19:zone_at]
        seconds -= _offsets[text[zone_at:]]
        if not fraction:
            return seconds * _SECOND
        digits = fraction[1:]
        if fraction[0] != "." or not (digits.isascii() and digits.isdigit()):
            raise ValueError(text)
        return seconds * _SECOND + int(digits[:9].ljust(9, "0"))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise Corrupt(f"not a time in RFC 3339 form: {text!r:.80}") from error


def format_datetime(moment: datetime) -> str:
    """An aware ``datetime`` in its own zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without zone cannot be written")
    return time_format(moment.tzinfo)(nanoseconds_of(moment))


def parse_datetime(text: str) -> datetime:
    """An aware ``datetime``, in the zone that the text names; anything finer than microseconds is dropped."""
    nanoseconds = parse_time(text)
    offset = _offsets["Z" if text[-1] == "Z" else text[-6:]]
    zone = timezone(timedelta(seconds=offset)) if offset else UTC
    try:
        return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).astimezone(zone)
    except OverflowError as error:
        raise Corrupt(f"a time that no calendar here knows: {text!r:.80}") from error


def nanoseconds_of(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware ``datetime``."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
