"""Shows progress: a bar with rate and ETA on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_core.cli import units
from backup_core.progress import Monotonic, Progress, ProgressSink, no_progress

if TYPE_CHECKING:
    from rich.console import Console

LINE_INTERVAL = 5.0
"""Seconds between plain lines of one phase."""
_PATH_COLUMNS = 48


def describe(progress: Progress) -> str:
    """One state of progress as one line of text."""
    parts = [progress.phase]
    if progress.files_done or progress.files_total:
        parts.append(f"{_of(units.number, progress.files_done, progress.files_total)} files")
    if progress.bytes_done or progress.bytes_total:
        parts.append(_of(units.size, progress.bytes_done, progress.bytes_total))
    if progress.rate > 0:
        parts.append(units.rate(progress.rate))
    if progress.eta is not None:
        parts.append(f"{units.duration(progress.eta)} left")
    if progress.message:
        parts.append(progress.message)
    return ", ".join(part for part in parts if part)


def _of(show: Callable[[int], str], done: int, total: int) -> str:
    return f"{show(done)} of {show(total)}" if total else show(done)


class LineView:
    """Writes a line when a phase begins or a message changes, and otherwise every few seconds."""

    def __init__(self, write: Callable[[str], None], clock: Monotonic, *, interval: float = LINE_INTERVAL) -> None:
        self._write = write
        self._clock = clock
        self._interval = interval
        self._told: tuple[str, str] | None = None
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = self._clock.monotonic()
        told = (progress.phase, progress.message)
        if progress.phase == "done" or (told == self._told and now - self._last < self._interval):
            return  # what was done is told by the answer that follows
        self._told, self._last = told, now
        text = describe(progress)
        if text:
            self._write(units.printable(text))


@contextmanager
def progress_view(console: Console, clock: Monotonic, *, quiet: bool = False) -> Iterator[ProgressSink]:
    """A sink that shows progress on ``console`` as long as the block runs."""
    if quiet:
        yield no_progress
    elif console.is_terminal:
        with _bar(console) as sink:
            yield sink
    else:
        yield LineView(lambda text: console.print(text, soft_wrap=True), clock)


@contextmanager
def _bar(console: Console) -> Iterator[ProgressSink]:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counts]}", markup=False),
        TextColumn("{task.fields[where]}", style="dim", markup=False),
    )
    with Bar(*columns, console=console, transient=True, refresh_per_second=5) as bar:
        task = bar.add_task("", total=None, counts="", where="")

        def sink(progress: Progress) -> None:
            done, total = (
                (progress.bytes_done, progress.bytes_total)
                if progress.bytes_total
                else (progress.files_done, progress.files_total)
            )
            line = describe(progress).removeprefix(f"{progress.phase}, ")
            where = "" if progress.message else _shortened(units.printable(progress.current_path))
            bar.update(task, description=progress.phase, completed=done, total=total or None, counts=line, where=where)

        yield sink


def _shortened(path: str) -> str:
    return path if len(path) <= _PATH_COLUMNS else "…" + path[-(_PATH_COLUMNS - 1) :]
