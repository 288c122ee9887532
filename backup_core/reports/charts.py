"""The charts of a report. Each function gives one SVG element, or "" when there is nothing to draw."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from backup_core.deferred import dataclass
from backup_core.reports import chart_style as style
from backup_core.reports.chart_style import Chart, size
from backup_core.reports.forecast import forecast_band
from backup_core.reports.report import Report

AHEAD = 90
"""Days of forecast shown at most; never more than there are of the past."""

_MARKERS = "osD^v<>p"
_FEWEST_MONTHS = 4
"""That a chart by month has room for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large charts are drawn: text keeps its size, so a narrow chart stays readable on a phone."""

    width: float
    """Inches."""
    height: float
    titled: bool = True
    """Whether the title is drawn; a page has headings of its own."""

    @property
    def narrow(self) -> bool:
        """True for phones."""
        return self.width < 6


WIDE = Shape(8.6, 3.4)
NARROW = Shape(4.4, 3.4)
LATELY = 90
"""Days of requests shown: the first backup of all would make the rest invisible."""


def storage_chart(report: Report, scope: str = "", *, shape: Shape = WIDE) -> str:
    """Stored bytes and the size of the newest backup over time, with forecast and budget; ``scope`` "" is all."""
    daily = report.daily[scope]
    if daily.empty:
        return ""
    chart = Chart("Storage over time", width=shape.width, height=shape.height, titled=shape.titled)
    axes, days = chart.axes, daily["period"].to_numpy()
    axes.plot(days, daily["newest_bytes"], color=style.COLOURS[1], linestyle=style.DASHES[1], linewidth=1.6,
              label="newest backup (logical)")  # fmt: skip
    axes.plot(days, daily["stored_bytes"], color=style.COLOURS[0], linewidth=2.2, label="on the server (stored)")
    axes.fill_between(days, daily["stored_bytes"].astype(float), color=style.COLOURS[0], alpha=0.12, linewidth=0)
    _draw_forecast(chart, daily)
    limit = report.promises.budget_bytes if scope == "" else None
    if limit is not None and limit < 3 * int(daily["stored_bytes"].max()):
        axes.axhline(limit, color=style.LIMIT, linestyle=style.DASHES[3], linewidth=1.4, label=f"budget {size(limit)}")
    chart.bytes_axis()
    chart.date_axis()
    chart.legend(columns=1 if shape.narrow else 4)
    last = daily.iloc[-1]
    return chart.svg(
        description=f"On {last['period']:%Y-%m-%d} {size(last['stored_bytes'])} are stored; the newest backups hold "
        f"{size(last['newest_bytes'])}."
    )


def _draw_forecast(chart: Chart, daily: pd.DataFrame) -> None:
    ahead = min(AHEAD, len(daily))
    band = forecast_band(daily["stored_bytes"], ahead)
    if band.empty:
        return
    future = pd.date_range(daily["period"].iloc[-1], periods=ahead + 1, freq="D", unit="us")[1:].to_numpy()
    chart.axes.fill_between(future, band["low"].to_numpy(), band["high"].to_numpy(), color=style.COLOURS[4],
                            alpha=0.35, linewidth=0, label="forecast, 80 %")  # fmt: skip
    chart.axes.plot(future, band["middle"].to_numpy(), color=style.COLOURS[0], linestyle=style.DASHES[2], linewidth=1.6)


def added_chart(report: Report, *, shape: Shape = WIDE) -> str:
    """Stored bytes added by month, one colour and hatching for each configuration."""
    names = [figures.name for figures in report.configurations]
    months = report.monthly[""]["period"]
    if months.empty:
        return ""
    chart = Chart("Added on the server by month", width=shape.width, height=shape.height, titled=shape.titled)
    below = np.zeros(len(months))
    for number, name in enumerate(names):
        monthly = report.monthly[name].set_index("period")["added_bytes"].reindex(months, fill_value=0)
        heights = monthly.to_numpy(dtype="float64")
        chart.axes.bar(range(len(months)), heights, bottom=below, color=style.colour_of(names, name), width=0.8,
                       hatch=style.HATCHES[number % len(style.HATCHES)], edgecolor="white", linewidth=0.5,
                       label=chart.name(name))  # fmt: skip
        below += heights
    _month_ticks(chart, months, shape)
    if len(months) < _FEWEST_MONTHS:
        # Room for those to come: one bar as wide as the page says nothing.
        chart.axes.set_xlim(-0.8, _FEWEST_MONTHS - 0.2)
    chart.bytes_axis()
    chart.legend(columns=1 if shape.narrow else 4)
    return chart.svg(description=f"In the last month {size(float(below[-1]))} were added.")


def _month_ticks(chart: Chart, months: pd.Series[pd.Timestamp], shape: Shape) -> None:
    step = max(1, -(-len(months) // (5 if shape.narrow else 12)))
    shown = range(len(months) - 1, -1, -step)
    chart.axes.set_xticks(list(shown), [f"{months.iloc[n]:%b\n%Y}" for n in shown])


def ratio_chart(report: Report, *, shape: Shape = WIDE) -> str:
    """How many times the kept backups fit into what they take, split into deduplication and compression."""
    known = [f for f in report.configurations if f.dedup_ratio is not None and f.compression_ratio is not None]
    if not known:
        return ""
    height = 1.4 + 0.5 * len(known)
    chart = Chart("Deduplication and compression", width=shape.width, height=height, titled=shape.titled)
    rows = np.arange(len(known))[::-1]
    for offset, kind, values in (
        (0.2, "deduplication", [f.dedup_ratio or 0.0 for f in known]),
        (-0.2, "compression", [f.compression_ratio or 0.0 for f in known]),
    ):
        number = 0 if offset > 0 else 1
        bars = chart.axes.barh(rows + offset, values, height=0.36, color=style.COLOURS[number],
                               hatch=style.HATCHES[number], edgecolor="white", linewidth=0.5, label=kind)  # fmt: skip
        chart.axes.bar_label(bars, [f" {value:,.1f} times" for value in values], fontsize=9)
    chart.axes.set_yticks(rows, [chart.name(f.name) for f in known])
    chart.axes.grid(visible=False)
    chart.axes.set_xscale("log")
    chart.axes.set_xlim(0.8, 3 * max(f.dedup_ratio or 1.0 for f in known) + 1)
    chart.axes.xaxis.set_visible(False)
    chart.axes.spines["bottom"].set_visible(False)
    chart.legend()
    return chart.svg(
        description="; ".join(f"{f.name}: {f.dedup_ratio:.1f} and {f.compression_ratio:.1f}" for f in known)
    )


def runs_chart(report: Report, *, shape: Shape = WIDE) -> str:
    """How long backups took, with failures marked at the top."""
    runs = report.frames.runs
    runs = runs[(runs["kind"] == "backup") & runs["seconds"].notna()]
    if runs.empty:
        return ""
    names = [figures.name for figures in report.configurations]
    chart = Chart("Duration of backups, and failures", width=shape.width, height=shape.height, titled=shape.titled)
    local = runs["started"].dt.tz_localize(None)
    for number, name in enumerate(names):
        good = runs[(runs["configuration"] == name) & runs["good"]]
        minutes = good["seconds"].clip(lower=0.1).to_numpy() / 60
        chart.axes.plot(local.loc[good.index].to_numpy(), minutes, _MARKERS[number % len(_MARKERS)], markersize=3,
                        color=style.colour_of(names, name), alpha=0.75, label=chart.name(name))  # fmt: skip
    failed = runs[runs["outcome"] == "failed"]
    chart.axes.set_yscale("log")
    if len(failed):
        top = np.full(len(failed), chart.axes.get_ylim()[1])
        chart.axes.plot(local.loc[failed.index].to_numpy(), top, "x", color=style.BAD, markersize=7,
                        markeredgewidth=2, label="failed", clip_on=False)  # fmt: skip
    chart.values_axis(lambda minutes: _duration(minutes * 60), from_zero=False)
    chart.date_axis()
    chart.legend(columns=2 if shape.narrow else 5)
    return chart.svg(description=f"{len(runs)} backups, {len(failed)} of them failed.")


def requests_chart(report: Report, *, shape: Shape = WIDE) -> str:
    """Requests by day for each client."""
    requests = report.frames.requests
    since = report.made_at - timedelta(days=LATELY)
    requests = requests[(requests["client"] != "") & (requests["started"] >= since)]
    if requests.empty:
        return ""
    chart = Chart("Requests by day", width=shape.width, height=shape.height * 0.8, titled=shape.titled)
    days = report.frames.days(requests["started"])
    clients = sorted(set(requests["client"]))
    for number, client in enumerate(clients):
        own = requests[requests["client"] == client]
        daily = own["requests"].groupby(days.loc[own.index]).sum()
        chart.axes.plot(daily.index.to_numpy(), daily.to_numpy(), color=style.COLOURS[number % len(style.COLOURS)],
                        linestyle=style.DASHES[number % len(style.DASHES)], linewidth=1.3,
                        label=chart.name(client))  # fmt: skip
    chart.values_axis(lambda count: f"{count:,.0f}")
    chart.date_axis()
    chart.legend()
    return chart.svg(description=f"{int(requests['requests'].sum()):,} requests in all.")


def drills_chart(report: Report, *, shape: Shape = WIDE) -> str:
    """How long the recovery of everything took in each drill, against what the plans promise."""
    drills = report.frames.drills
    drills = drills[(drills["kind"] == "drill") & drills["rto_seconds"].notna()]
    if drills.empty:
        return ""
    unit = 3600 if drills[["rto_seconds", "rto_target_seconds"]].max().max() > 2 * 3600 else 60
    chart = Chart("Recovery time in drills", width=shape.width, height=shape.height * 0.8, titled=shape.titled)
    for number, (plan, runs) in enumerate(drills.groupby("plan")):
        colour = style.COLOURS[number % len(style.COLOURS)]
        days = report.frames.days(runs["started"])
        chart.axes.plot(days.to_numpy(), runs["rto_seconds"].to_numpy() / unit, "o", color=colour,
                        linestyle=style.DASHES[number % len(style.DASHES)], label=chart.name(str(plan)))  # fmt: skip
        target = runs["rto_target_seconds"].iloc[-1]
        if pd.notna(target):
            label = f"its target, {_duration(float(target))}"
            chart.axes.axhline(target / unit, color=style.LIMIT, linestyle=style.DASHES[3], linewidth=1.3, label=label)
    chart.values_axis(lambda count: f"{count:g} {'h' if unit == 3600 else 'min'}")
    chart.date_axis()
    chart.legend(columns=1 if shape.narrow else 4)
    return chart.svg(description=f"{len(drills)} drills, {int(drills['met'].sum())} of them within their targets.")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
