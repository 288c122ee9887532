"""Progress: lines where there is no terminal, a bar where there is one, nothing when quiet."""

from __future__ import annotations

import io

from rich.console import Console

from backup_core.cli.progress_view import LineView, describe, progress_view
from backup_core.progress import Progress
from backup_core.testing.clocks import ManualClock

HALF = Progress(
    phase="backup", files_done=5, files_total=10, bytes_done=1024, bytes_total=2048, rate=512.0, eta=2.0,
    current_path="/home/me/a\x1b[2Jb",
)  # fmt: skip


def test_one_line_says_how_far_how_fast_and_how_long() -> None:
    assert describe(HALF) == "backup, 5 of 10 files, 1.0 KiB of 2.0 KiB, 512 B/s, 2.0 s left"


def test_unknown_totals_are_left_out() -> None:
    assert describe(Progress(phase="scan", files_done=1200)) == "scan, 1,200 files"
    assert describe(Progress(phase="waiting", message="12 min for the request window")) == (
        "waiting, 12 min for the request window"
    )


def test_lines_come_with_each_phase_and_every_few_seconds(clock: ManualClock) -> None:
    lines: list[str] = []
    view = LineView(lines.append, clock, interval=5.0)
    view(Progress(phase="scan", files_done=1))
    for files in range(2, 12):
        clock.advance(1.0)
        view(Progress(phase="scan", files_done=files))
    view(Progress(phase="backup", files_done=1))
    view(Progress(phase="backup", files_done=2, message="waiting"))
    assert [line.split(" files")[0] for line in lines] == ["scan, 1", "scan, 6", "scan, 11", "backup, 1", "backup, 2"]


def test_without_a_terminal_there_are_plain_lines(clock: ManualClock) -> None:
    stream = io.StringIO()
    with progress_view(Console(file=stream, force_terminal=False), clock) as sink:
        sink(HALF)
    assert stream.getvalue() == describe(HALF) + "\n"


def test_on_a_terminal_there_is_a_bar(clock: ManualClock) -> None:
    stream = io.StringIO()
    with progress_view(Console(file=stream, force_terminal=True, width=160, force_interactive=True), clock) as sink:
        sink(HALF)
        sink(Progress(phase="waiting", message="until 12:30"))
        sink(HALF)
    shown = stream.getvalue()
    assert "5 of 10 files, 1.0 KiB of 2.0 KiB, 512 B/s, 2.0 s left" in shown
    assert "\x1b[2Jb" not in shown


def test_quiet_shows_nothing(clock: ManualClock) -> None:
    stream = io.StringIO()
    with progress_view(Console(file=stream, force_terminal=True), clock, quiet=True) as sink:
        sink(HALF)
    assert stream.getvalue() == ""
