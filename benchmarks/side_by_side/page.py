"""docs/benchmarks.md: the part between two marks is written anew from the results, and a chart beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.side_by_side.data_sets import DATA_SETS
from benchmarks.side_by_side.ratios import Row, Spread, rows
from benchmarks.side_by_side.results import Proof, Results, Run

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CHART = "benchmarks.svg"
RIVAL = "restic-0.18"
CASES = {
    "first": "first backup",
    "unchanged": "no changes",
    "changed": "1 % changed",
    "validate-quick": "validation, quick",
    "validate-data": "validation with data",
    "restore": "full restore",
    "one-file": "one file restored",
    "cleanup": "cleanup and prune",
}
LINKS = {"loopback": "loopback", "long": "50 ms, 20 MB/s"}


def write_page(results: Results, docs: Path) -> None:
    """Replace the measured part of the page, and the chart."""
    page = docs / "benchmarks.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    table = rows(results.runs)
    page.write_text(f"{before}{BEGIN}\n{measured(results, table)}\n{END}{after}")
    if table:
        draw(table, docs / CHART)


def measured(results: Results, table: list[Row]) -> str:
    """The part between the marks, as Markdown."""
    if not table:
        return "Nothing was measured yet."
    parts = [f"Machine: {results.machine}. {_versions(table)}", f"![Davault's time by that of its peers]({CHART})"]
    for link, words in LINKS.items():
        chosen = sorted((row for row in table if row.link == link), key=_order)
        if chosen:
            parts += [f"### {words}: ratios to restic with rclone", ratio_table(chosen),
                      f"### {words}: figures", figure_table(chosen)]  # fmt: skip
    return "\n\n".join([*parts, proof_text(results.proofs)])


def _order(row: Row) -> tuple[int, int]:
    return list(DATA_SETS).index(row.data_set), list(CASES).index(row.case)


def _versions(table: list[Row]) -> str:
    names = {run.peer: run.version for row in table for runs in row.runs.values() for run in runs}
    return "; ".join(f"{peer}: {version}" for peer, version in names.items()) + "."


def ratio_table(table: Iterable[Row]) -> str:
    """Davault's medians by restic's: time, memory, requests, and bytes on the server."""
    lines = ["| data | operation | time / 0.18 | time / 0.14 | processor | memory | requests | stored |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row in table:
        figures = [
            row.ratio(RIVAL, lambda run: run.wall),
            row.ratio("restic-0.14", lambda run: run.wall),
            row.ratio(RIVAL, lambda run: run.processor),
            row.ratio(RIVAL, lambda run: run.memory),
            row.ratio(RIVAL, lambda run: run.requests),
            row.ratio(RIVAL, lambda run: run.stored),
        ]
        cells = " | ".join("–" if figure is None else f"{figure:.2f}" for figure in figures)
        lines.append(f"| {row.data_set} | {CASES[row.case]} | {cells} |")
    return "\n".join(lines)


def figure_table(table: Iterable[Row]) -> str:
    """Medians of each peer, with the spread of its times."""
    heads = ["data", "operation", "program", "runs", "wall, s", "CPU, s", "memory, MB", "requests"]
    heads += ["up, MB", "down, MB", "others"]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|---|{'---:|' * (len(heads) - 3)}"]
    for row in table:
        for peer in (peer for peer in row.runs if " " not in peer):
            wall = row.spread(peer, lambda run: run.wall)
            assert wall is not None
            cells = [row.data_set, CASES[row.case], peer, str(len(row.runs[peer])), _spread_text(wall),
                     _middle(row, peer, lambda run: run.processor, "{:.2f}"),
                     _middle(row, peer, lambda run: run.memory / 1e6, "{:.0f}"),
                     _middle(row, peer, lambda run: run.requests, "{:.0f}"),
                     _middle(row, peer, lambda run: run.up / 1e6, "{:.1f}"),
                     _middle(row, peer, lambda run: run.down / 1e6, "{:.1f}"), _others(row.runs[peer])]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _middle(row: Row, peer: str, value: Callable[[Run], float], form: str) -> str:
    spread = row.spread(peer, value)
    return "–" if spread is None else form.format(spread.middle)


def _others(runs: Iterable[Run]) -> str:
    known = [run.others for run in runs if run.others is not None]
    return f"{100 * median(known):.0f} %" if known else "–"


def _spread_text(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.middle:.2f}"
    return f"{spread.middle:.2f} ({spread.least:.2f}–{spread.most:.2f})"


def proof_text(proofs: Iterable[Proof]) -> str:
    """What restic said of the repositories, newest word for each set."""
    newest = {(proof.data_set, proof.peer): proof for proof in proofs}
    words = [
        f"{data_set}, {peer}: {'nothing wrong' if proof.sound else '**damage found**'} ({proof.judge})"
        for (data_set, peer), proof in sorted(newest.items())
    ]
    return "`restic check --read-data` of the repositories afterwards: " + "; ".join(words) + "."


def draw(table: list[Row], path: Path) -> None:
    """One bar for each case: wall time of Davault by that of restic, and a line at 1."""
    shown = [
        (f"{row.data_set}: {CASES[row.case]}" + ("" if row.link == "loopback" else f" ({LINKS[row.link]})"), ratio)
        for row in sorted(table, key=lambda row: (row.link != "loopback", *_order(row)))
        if (ratio := row.ratio(RIVAL, lambda run: run.wall)) is not None
    ]
    with rc_context({"svg.hashsalt": "davault", "font.size": 9}):
        figure = Figure(figsize=(8, 1 + 0.27 * len(shown)), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh([name for name, _ in shown], [ratio for _, ratio in shown], color="#3b6ea5")
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.axvline(1, color="#444444", linewidth=1)
        axes.invert_yaxis()
        axes.set_xlabel(f"wall time of Davault / {RIVAL} with rclone (shorter is faster)")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
