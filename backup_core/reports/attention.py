"""What a person should look at, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from backup_core.deferred import dataclass
from backup_core.reports.forecast import Forecast
from backup_core.reports.frames import Frames
from backup_core.reports.records import ClientFigures, Figures

SOON = timedelta(days=90)
"""A limit that may be reached within this time is told."""
_BUSY = 0.8
"""Of a window of requests."""


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that is not as it should be."""

    serious: bool
    """True when data may be lost if nothing is done."""
    subject: str
    """The configuration, client or plan."""
    message: str
    advice: str


def look_closely(
    configurations: Sequence[Figures],
    clients: Sequence[ClientFigures],
    budget: Forecast | None,
    frames: Frames,
    *,
    today: date,
) -> tuple[Attention, ...]:
    """Everything worth telling, the serious first."""
    found = [
        *(one for figures in configurations for one in _configuration(figures)),
        *(one for client in clients for one in _client(client, today)),
        *_limit("all configurations", "the storage budget", budget, today),
        *_drills(frames),
    ]
    return tuple(sorted(found, key=lambda one: not one.serious))


def _configuration(figures: Figures) -> Iterator[Attention]:
    if figures.age is None:
        yield Attention(True, figures.name, "has no good backup", f"back it up: davault backup {figures.name}")
    elif not figures.rpo_met:
        hours, allowed = (duration.total_seconds() / 3600 for duration in (figures.age, figures.rpo))
        yield Attention(
            True,
            figures.name,
            f"the last good backup is {hours:.0f} hours old; {allowed:.0f} are allowed",
            "see why the last runs failed or did not start: davault doctor",
        )
    if figures.validated_well is False:
        yield Attention(
            True,
            figures.name,
            "the last validation found damage",
            f"see what is affected: davault validate --config {figures.name} --depth data",
        )
    if figures.failed_runs:
        yield Attention(
            False,
            figures.name,
            f"{figures.failed_runs} of {figures.runs} backups of the last 30 days failed, the last one: "
            f"{figures.last_error or 'no reason was recorded'}",
            "docs/troubleshooting.md explains the messages",
        )
    if figures.validated_at is None and figures.backups:
        yield Attention(
            False, figures.name, "was never validated", f"prove it: davault validate --config {figures.name}"
        )


def _client(client: ClientFigures, today: date) -> Iterator[Attention]:
    yield from _limit(client.name, "the free room of the account", client.room, today)
    if client.window_requests and client.busiest_requests > _BUSY * client.window_requests:
        yield Attention(
            False,
            client.name,
            f"about {client.busiest_requests:,.0f} of the {client.window_requests:,} requests that the provider allows "
            "were used within one window",
            "spread the schedules of its configurations over the day",
        )


def _limit(subject: str, what: str, forecast: Forecast | None, today: date) -> Iterator[Attention]:
    if forecast is None:
        return
    advice = "keep fewer backups (max_versions), then give room back: davault prune"
    if forecast.reached:
        yield Attention(True, subject, f"{what} is used up", advice)
    elif forecast.early is not None and forecast.early - today <= SOON:
        likely = f", most likely on {forecast.likely}" if forecast.likely is not None else ""
        yield Attention(False, subject, f"{what} may be used up from {forecast.early} on{likely}", advice)


def _drills(frames: Frames) -> Iterator[Attention]:
    drills = frames.drills[(frames.drills["kind"] == "drill") & (frames.drills["state"] != "running")]
    for plan, runs in drills.groupby("plan"):
        if not bool(runs.iloc[-1]["met"]):
            yield Attention(
                True,
                str(plan),
                f"the last drill did not keep what the plan promises ({runs.iloc[-1]['state']})",
                "see its report, mend what failed, and drill again",
            )
