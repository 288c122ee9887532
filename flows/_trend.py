"""The storage trend as markdown that Prefect's pages really render.

Their markdown strips inline SVG and style attributes, so charts are data images on a ground of their own, which reads
well on the light and on the dark page; there is no script and no address of any server.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator

from backup_core.reports import charts, words
from backup_core.reports.measures import known
from backup_core.reports.records import Figures
from backup_core.reports.report import Report
from flows._artifacts import escaped

WIDTH = 860
"""Pixels: what the artifact page has room for."""
_MONTHS = 12


def overall_page(report: Report) -> str:
    """Everything together."""
    drawn = [
        charts.storage_chart(report),
        charts.added_chart(report),
        charts.ratio_chart(report),
        charts.runs_chart(report),
        charts.requests_chart(report),
        charts.drills_chart(report),
    ]
    headline = " · ".join(f"{escaped(card.title)} **{escaped(card.value)}**" for card in words.headline(report))
    lines = [
        f"# {words.size(report.overall.stored_bytes)} stored",
        "",
        headline,
        "",
        *_attention(report),
        "## Configurations",
        "",
        *_configurations(report.configurations),
        "",
        "## Charts",
        "",
        *(line for svg in drawn if svg for line in (image(svg), "")),
        "## By month",
        "",
        *_months(report, ""),
        "",
        *_accounts(report),
        *_glossary(),
    ]
    return "\n".join(lines)


def configuration_page(report: Report, figures: Figures) -> str:
    """One configuration."""
    rows = {
        "Last good backup": f"{words.ago(figures.age)}, {'within' if figures.rpo_met else '**beyond**'} the "
        f"{figures.rpo.total_seconds() / 3600:.0f} hours allowed",
        "Backups kept": words.number(figures.backups),
        "Newest backup, logical": words.size(figures.newest_bytes),
        "All kept, logical": words.size(figures.kept_bytes),
        "Stored": words.size(figures.stored_bytes),
        "Kept / stored": words.times(figures.space_ratio),
        "Deduplication": words.times(figures.dedup_ratio),
        "Compression": words.times(figures.compression_ratio),
        "Growth": words.per_day(figures.growth_per_day),
        "Good runs, 30 days": words.share(figures.success_rate, figures.runs),
    }
    svg = charts.storage_chart(report, figures.name)
    lines = [
        f"# {escaped(figures.name)}: {words.size(figures.stored_bytes)} stored",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
        *([image(svg), ""] if svg else []),
        "## By month",
        "",
        *_months(report, figures.name),
        "",
        *_glossary(),
    ]
    return "\n".join(lines)


def image(svg: str) -> str:
    """A drawing as markdown."""
    title = re.search(r"<title>([^<]*)</title>", svg)
    sized = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if sized is not None:
        height = round(WIDTH * float(sized[2]) / float(sized[1]))
        svg = svg.replace("<svg ", f'<svg width="{WIDTH}" height="{height}" ', 1)
    return f"![{title[1] if title else ''}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def _attention(report: Report) -> Iterator[str]:
    if not report.attention:
        yield from ("Nothing asks for attention.", "")
        return
    yield from ("## What asks for attention", "")
    for one in report.attention:
        mark = "**SERIOUS** " if one.serious else ""
        yield f"- {mark}**{escaped(one.subject)}**: {escaped(one.message)}; {escaped(one.advice)}."
    yield ""


def _configurations(figures: tuple[Figures, ...]) -> Iterator[str]:
    # As many columns as the page shows without scrolling.
    yield "| Configuration | Last good | Backups | Newest | Stored | Gain | Per day | Good |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for one in figures:
        cells = (
            escaped(one.name),
            words.ago(one.age) if one.rpo_met else f"**{words.ago(one.age)}**",
            words.number(one.backups),
            words.size(one.newest_bytes),
            words.size(one.stored_bytes),
            words.times(one.space_ratio),
            words.per_day(one.growth_per_day).removesuffix("/day"),
            words.share(one.success_rate, one.runs).removesuffix(f" of {one.runs:,}"),
        )
        yield f"| {' | '.join(cells)} |"


def _months(report: Report, scope: str) -> Iterator[str]:
    yield "| Month | Backups | Failed | New data | Added | Stored at its end | Kept / stored |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for month in report.monthly[scope].tail(_MONTHS).iloc[::-1].to_dict("records"):
        cells = (
            f"{month['period']:%Y-%m}",
            words.number(month["backups_made"]),
            words.number(month["failed_runs"]),
            words.size(month["new_bytes"]),
            words.size(month["added_bytes"]),
            words.size(month["stored_bytes"]),
            words.times(known(month["space_ratio"])),
        )
        yield f"| {' | '.join(cells)} |"


def _accounts(report: Report) -> Iterator[str]:
    if not report.clients:
        return
    yield from ("## Accounts", "", "| Account | Stored by us | Used in all | Free | Full | Busiest window |")
    yield "|---|---:|---:|---:|---:|---:|"
    for one in report.clients:
        cells = (
            escaped(one.name),
            words.size(one.stored_bytes),
            words.size_if_known(one.used_bytes),
            words.size_if_known(one.available_bytes),
            words.when_reached(one.room),
            words.window(one),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _glossary() -> Iterator[str]:
    yield from ("## What the figures mean", "")
    yield from (f"- **{title}**: {meaning}" for title, meaning in words.GLOSSARY)
