"""The machine's time zone with all its changes of offset, in which trees carry their times."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path

_RULES = Path("/etc/localtime")


def zone_mark() -> str:
    """The same text as long as the machine is in the same zone and that has the same rules."""
    try:
        rules = _RULES.read_bytes()
    except OSError:
        rules = b""
    named = (os.environ.get("TZ"), time.tzname, time.timezone, time.altzone)
    return sha256(repr(named).encode("utf-8", "surrogatepass") + rules).hexdigest()


class LocalZone(tzinfo):
    """For ``datetime.astimezone``, which with this zone gives the offset that held at that very moment."""

    def fromutc(self, moment: datetime) -> datetime:
        """The local time of a moment of UTC."""
        return moment.replace(tzinfo=UTC).astimezone()

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """The offset at a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        """Not known apart from the offset."""
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        """The zone's abbreviation at a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()
