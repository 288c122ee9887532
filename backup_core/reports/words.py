"""Figures as people read them, the same in the HTML page, in Prefect and on the terminal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.reports.chart_style import size as short_size
from backup_core.reports.forecast import HORIZON, Forecast
from backup_core.reports.records import ClientFigures

if TYPE_CHECKING:
    from backup_core.reports.report import Report

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
UNKNOWN = "–"

GLOSSARY = (
    ("Logical", "bytes as they are on your disk, and as a restore writes them."),
    ("Stored", "bytes that lie on the server: after deduplication and compression, encrypted; by the packs that hold "
               "the content."),
    ("Kept / stored", "the logical size of all backups that are kept, divided by what they take on the server."),
    ("New data", "content that the repository did not have yet, before compression; Added is the same on the server."),
    ("Growth", "stored bytes a day, on average over the last 30 days; cleanups count."),
    ("Forecast", "the daily changes of the last half year, drawn again a thousand times in blocks of a week. The range "
                 "is that in which 80 of 100 of these futures lie, the day that on which half of them have arrived."),
    ("Busiest window", "the most requests within the time for which the provider counts them, about: a run's requests "
                       "are taken as spread evenly over it."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure."""

    title: str
    value: str
    note: str


def headline(report: Report) -> list[Card]:
    """The four to six figures that matter most."""
    whole = report.overall
    cards = [
        Card("Stored", size(whole.stored_bytes), f"for {size(whole.kept_bytes)} in {number(whole.backups)} backups"),
        Card("Space saved", times(whole.space_ratio),
             f"deduplication {times(whole.dedup_ratio)}, compression {times(whole.compression_ratio)}"),
        Card("Oldest last backup", ago(whole.age), "of the configuration that is furthest behind"),
        Card("Good runs", share(whole.success_rate, whole.runs), "of the last 30 days"),
        Card("Growth", per_day(whole.growth_per_day), "stored, average of the last 30 days"),
    ]  # fmt: skip
    if report.budget is not None:
        cards.append(Card("Budget", when_reached(report.budget), _range(report.budget)))
    rooms = [client for client in report.clients if client.room is not None]
    if rooms:
        first = min(rooms, key=_urgency)
        room = first.room
        cards.append(Card(f"Account {first.name} full", when_reached(room), _range(room) if room is not None else ""))
    return cards


def _urgency(client: ClientFigures) -> tuple[bool, object, float]:
    room = client.room
    if room is None or room.likely is None:
        return (True, 0, -(room.probability if room is not None else 0.0))
    return (False, room.likely, 0.0)


def _range(forecast: Forecast) -> str:
    if forecast.reached:
        return f"limit {size(forecast.limit_bytes)}"
    if not forecast.learned_days:
        return "two weeks of history are needed for a forecast"
    if forecast.early is None:
        return f"limit {size(forecast.limit_bytes)}"
    late = f"{forecast.late}" if forecast.late is not None else "later than five years"
    return f"80 % sure: {forecast.early} to {late}"


def when_reached(forecast: Forecast | None) -> str:
    """The day on which a limit is reached, most likely."""
    if forecast is None:
        return UNKNOWN
    if forecast.reached:
        return "full"
    if not forecast.learned_days:
        return "too early to tell"
    return f"{forecast.likely}" if forecast.likely is not None else f"not in {HORIZON // 365} years"


def size(count: float) -> str:
    """Bytes with a binary unit and one digit after the point."""
    value, power = float(count), 0
    while abs(value) >= 1023.95 and power < len(_UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.{min(power, 1)}f} {_UNITS[power]}"


def size_if_known(count: int | None) -> str:
    """``size``, or a dash."""
    return UNKNOWN if count is None else size(count)


def number(count: int) -> str:
    """With thousands apart."""
    return f"{count:,}"


def times(ratio: float | None) -> str:
    """A ratio."""
    return UNKNOWN if ratio is None else f"{ratio:,.1f} ×"


def per_day(growth: float | None) -> str:
    """Bytes a day, signed."""
    if growth is None:
        return UNKNOWN
    return f"{'+' if growth > 0 else ''}{short_size(growth)}/day" if abs(growth) >= 1 else "none"


def share(rate: float | None, runs: int) -> str:
    """A success rate, and of how many."""
    return UNKNOWN if rate is None else f"{100 * rate:.0f} % of {runs:,}"


def ago(age: timedelta | None) -> str:
    """How long ago something was."""
    if age is None:
        return "never"
    hours = age.total_seconds() / 3600
    if hours < 1:
        return f"{max(hours * 60, 0):.0f} min ago"
    return f"{hours:.0f} h ago" if hours < 72 else f"{hours / 24:.0f} days ago"


def window(client: ClientFigures) -> str:
    """The busiest window against what the provider allows."""
    if client.window_requests is None or client.window is None:
        return "no limit"
    minutes = client.window.total_seconds() / 60
    return f"{client.busiest_requests:,.0f} of {client.window_requests:,} in {minutes:.0f} min"
