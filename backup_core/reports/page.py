"""The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from html import escape

from backup_core.reports import charts, words
from backup_core.reports.measures import known
from backup_core.reports.page_style import STYLE
from backup_core.reports.records import ClientFigures, Figures
from backup_core.reports.report import Report

_WIDE = replace(charts.WIDE, titled=False)
_NARROW = replace(charts.NARROW, titled=False)
_REFERENCE = re.compile(r'\bid="|href="#|url\(#')
"""Where a drawing says the id of one of its parts."""
_MONTHS = 13
"""Shown in the table by month."""


def html_page(report: Report) -> str:
    """The whole page."""
    made = report.made_at.astimezone(report.frames.zone)
    body = [
        f'<header><h1>Backup report</h1><p class="when">{escape(f"{made:%Y-%m-%d %H:%M}")}, local time</p></header>',
        *_verdict(report),
        *_cards(report),
        *_chart("Storage over time", partial(charts.storage_chart, report)),
        _section("Configurations", _configurations(report.configurations)),
        *_chart("Added on the server by month", partial(charts.added_chart, report)),
        _section("By month", _months(report)),
        *_chart("Deduplication and compression", partial(charts.ratio_chart, report)),
        _section("Accounts", _clients(report.clients)),
        *_chart("Duration of backups, and failures", partial(charts.runs_chart, report)),
        *_chart(f"Requests by day, the last {charts.LATELY} days", partial(charts.requests_chart, report)),
        *_chart("Recovery time in drills", partial(charts.drills_chart, report)),
        *_each(report),
        f"<footer><h2>What the figures mean</h2>{_explained()}</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Backup report {made:%Y-%m-%d}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(part for part in body if part)}\n</main>\n</body>\n</html>\n"
    )


def _verdict(report: Report) -> Iterator[str]:
    if not report.attention:
        yield '<p class="verdict good"><b>All is well.</b> Nothing asks for attention.</p>'
        return
    serious = sum(one.serious for one in report.attention)
    word = "bad" if serious else "fair"
    count = f"{len(report.attention)} things ask" if len(report.attention) > 1 else "One thing asks"
    lines = "".join(
        f'<li class="{"serious" if one.serious else "minor"}"><b>{escape(one.subject)}</b>: {escape(one.message)};'
        f" <span>{escape(one.advice)}.</span></li>"
        for one in report.attention
    )
    yield f'<section class="verdict {word}"><b>{count} for attention.</b><ul>{lines}</ul></section>'


def _cards(report: Report) -> Iterator[str]:
    cards = words.headline(report)
    inner = "".join(
        f'<div class="card"><dt>{escape(card.title)}</dt><dd>{escape(card.value)}</dd><p>{escape(card.note)}</p></div>'
        for card in cards
    )
    yield f'<dl class="cards">{inner}</dl>'


def _chart(title: str, draw: Callable[..., str]) -> Iterator[str]:
    """A chart twice: the style sheet shows the one that fits."""
    drawn = draw(shape=_WIDE)
    if drawn:
        wide, narrow = (_with_own_ids(svg, f"{title} {n}") for n, svg in enumerate((drawn, draw(shape=_NARROW))))
        figures = f'<figure class="wide">{wide}</figure><figure class="narrow">{narrow}</figure>'
        yield f"<section><h2>{escape(title)}</h2>{figures}</section>"


def _with_own_ids(svg: str, name: str) -> str:
    """The same with ids that no other drawing has, since a page may have each id once only."""
    prefix = f"c{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}-"
    return _REFERENCE.sub(rf"\g<0>{prefix}", svg)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1, kind: str = "wide") -> str:
    """A table whose first ``text`` columns are words and the rest numbers. Each cell carries its column's name, which a
    phone shows before it where columns stand below each other; a "compact" table stays one, with fewer columns."""
    lines = []
    for row in rows:
        cells = "".join(
            f'<td data-head="{escape(head)}"{"" if n < text else " class=number"}>{cell}</td>'
            for n, (head, cell) in enumerate(zip(heads, row, strict=True))
        )
        lines.append(f"<tr>{cells}</tr>")
    if not lines:
        return ""
    head = "".join(f"<th{'' if n < text else ' class=number'}>{escape(name)}</th>" for n, name in enumerate(heads))
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _configurations(figures: Sequence[Figures]) -> str:
    heads = ("Configuration", "Last good backup", "Backups", "Newest, logical", "Stored", "Kept / stored", "Growth",
             "Good runs, 30 days", "Validated")  # fmt: skip
    rows = [
        (
            escape(one.name),
            f'<span class="{"good" if one.rpo_met else "bad"}">{escape(words.ago(one.age))}</span>',
            words.number(one.backups),
            words.size(one.newest_bytes),
            words.size(one.stored_bytes),
            words.times(one.space_ratio),
            words.per_day(one.growth_per_day),
            words.share(one.success_rate, one.runs),
            _validated(one, one.validated_at),
        )
        for one in figures
    ]
    return _table(heads, rows)


def _validated(one: Figures, at: datetime | None) -> str:
    if at is None:
        return '<span class="bad">never</span>'
    word, style = ("whole", "good") if one.validated_well else ("DAMAGED", "bad")
    return f'<span><span class="{style}">{word}</span>, {at.astimezone():%Y-%m-%d}</span>'


def _months(report: Report) -> str:
    heads = ("Month", "Backups", "Failed", "New data", "Added", "Stored at its end", "Kept / stored")
    monthly = report.monthly[""].tail(_MONTHS).iloc[::-1].to_dict("records")
    rows = [
        (
            f"{month['period']:%Y-%m}",
            words.number(month["backups_made"]),
            f'<span class="bad">{month["failed_runs"]}</span>' if month["failed_runs"] else "0",
            words.size(month["new_bytes"]),
            words.size(month["added_bytes"]),
            words.size(month["stored_bytes"]),
            words.times(known(month["space_ratio"])),
        )
        for month in monthly
    ]
    return _table(heads, rows, kind="compact")


def _clients(clients: Sequence[ClientFigures]) -> str:
    heads = ("Account", "Configurations", "Stored by us", "Used in all", "Free", "Full", "Requests, 30 days",
             "Busiest window")  # fmt: skip
    rows = [
        (
            escape(one.name),
            escape(", ".join(one.configurations)),
            words.size(one.stored_bytes),
            words.size_if_known(one.used_bytes),
            words.size_if_known(one.available_bytes),
            escape(words.when_reached(one.room)),
            words.number(one.requests),
            escape(words.window(one)),
        )
        for one in clients
    ]
    return _table(heads, rows, text=2)


def _each(report: Report) -> Iterator[str]:
    if len(report.configurations) < 2:
        return
    for one in report.configurations:
        yield from _chart(f"Storage over time: {one.name}", partial(charts.storage_chart, report, one.name))


def _explained() -> str:
    return "<dl>" + "".join(f"<dt>{escape(t)}</dt><dd>{escape(m)}</dd>" for t, m in words.GLOSSARY) + "</dl>"
