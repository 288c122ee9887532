"""Between the naive local moments that people use and the aware ones that everything below uses."""

from __future__ import annotations

from datetime import datetime


def to_local(moment: datetime) -> datetime:
    """An aware moment as this machine's naive local time, comparable with ``datetime.now()``."""
    return moment.astimezone().replace(tzinfo=None)


def to_local_if_any(moment: datetime | None) -> datetime | None:
    """``to_local`` for a moment that may be unknown."""
    return None if moment is None else to_local(moment)


def to_aware(moment: datetime) -> datetime:
    """A moment given by a caller: a naive one is this machine's local time."""
    return moment.astimezone() if moment.tzinfo is None else moment
