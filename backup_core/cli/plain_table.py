"""Tables and lists of facts as plain lines: hundreds of rows are laid out in no time, which Rich's own tables take a
second for, and a pipe gets them without Rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backup_core.cli.plain_console import Drawn

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

_GAP = "   "
_FACT_GAP = "  "


class PlainTable(Drawn):
    """A heading, a rule, and rows, if they fit into the console's width; else Rich's table, which wraps its cells."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._rows = rows
        self._right = frozenset(right)

    def plain(self) -> str:
        """As wide as it is."""
        widths = self._widths()
        return f"{self._line(self._columns, widths)}{self._below(widths)}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        from rich.segment import Segment
        from rich.style import Style

        widths = self._widths()
        if _whole(widths) > options.max_width:
            yield self._wrapping()
            return
        yield Segment(self._line(self._columns, widths), Style(bold=True))
        yield Segment(self._below(widths))

    def _widths(self) -> list[int]:
        widths = [_width(name) for name in self._columns]
        for row in self._rows:
            for number, cell in enumerate(row):
                width = _width(cell)
                widths[number] = max(widths[number], width)
        return widths

    def _below(self, widths: Sequence[int]) -> str:
        lines = "".join(f"{self._line(row, widths)}\n" for row in self._rows)
        return f"\n{'─' * _whole(widths)}\n{lines}"

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


class PlainFacts(Drawn):
    """Names and values below each other, one line each."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._column = max((_width(name) for name, _ in pairs), default=0) + len(_FACT_GAP)

    def plain(self) -> str:
        """The lines, however long."""
        return "".join(f"{name}{self._space(name)}{value}\n" for name, value in self._pairs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them, the names in bold."""
        from rich.text import Text

        for name, value in self._pairs:
            yield Text.assemble((name, "bold"), self._space(name), value)

    def _space(self, name: str) -> str:
        return " " * (self._column - _width(name))


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
