"""Tables as plain lines: hundreds of rows are laid out in no time, which Rich's own tables take a second for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

_GAP = "   "


class PlainTable:
    """A heading, a rule, and rows, if they fit into the console's width; else Rich's table, which wraps its cells."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._rows = rows
        self._right = frozenset(right)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        widths = [_width(name) for name in self._columns]
        for row in self._rows:
            for number, cell in enumerate(row):
                width = _width(cell)
                widths[number] = max(widths[number], width)
        whole = sum(widths) + len(_GAP) * (len(widths) - 1)
        if whole > options.max_width:
            yield self._wrapping()
            return
        yield Segment(self._line(self._columns, widths), Style(bold=True))
        yield Segment(f"\n{'─' * whole}\n")
        yield Segment("".join(f"{self._line(row, widths)}\n" for row in self._rows))

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        return _GAP.join(self._padded(cells, widths)).rstrip()

    def _padded(self, cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
        for name, cell, width in zip(self._columns, cells, widths, strict=True):
            space = " " * (width - _width(cell))
            yield space + cell if name in self._right else cell + space

    def _wrapping(self) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in self._columns:
            right = name in self._right
            made.add_column(name, justify="right" if right else "left", no_wrap=right)
        for row in self._rows:
            made.add_row(*(Text(cell) for cell in row))
        return made


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
