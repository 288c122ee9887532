"""How numbers, times and names are shown to people."""

from __future__ import annotations

from datetime import datetime

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes with a binary unit: ``0 B``, ``1.5 KiB``, ``12.3 GiB``."""
    value, power = float(count), 0
    while abs(value) >= 1023.95 and power < len(_SIZES) - 1:  # so that nothing is ever shown as "1024.0 KiB"
        value, power = value / 1024, power + 1
    return f"{value:.{min(power, 1)}f} {_SIZES[power]}"


def rate(bytes_per_second: float) -> str:
    """Bytes a second."""
    return f"{size(bytes_per_second)}/s"


def number(count: int) -> str:
    """An integer with thousands set apart: ``12,345``."""
    return f"{count:,}"


def duration(seconds: float) -> str:
    """Seconds as people read them: ``40 ms``, ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 03 min``."""
    if 0 < seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(when: datetime | None) -> str:
    """A time in the machine's zone, to the second; "-" when there is none."""
    return "-" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def timestamp(when: datetime | None) -> str | None:
    """A time for machines: ISO 8601 with its offset."""
    return None if when is None else when.astimezone().isoformat()


def encryption(encrypted: bool) -> str:
    """How a repository without a key is named wherever it is shown."""
    return "encrypted" if encrypted else "not encrypted"


def printable(text: str) -> str:
    """Text of foreign origin made harmless for a terminal: control and unpaired characters become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
