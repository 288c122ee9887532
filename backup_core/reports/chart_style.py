"""How charts look: colours that everybody can tell apart, binary units, text that stays text.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any kind of colour blindness can
tell apart; lines differ by dashes and bars by hatching as well, so that a black-and-white print is readable, too.
"""

from __future__ import annotations

import html
import io
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)))
HATCHES = ("", "///", "...", "\\\\\\", "xx", "ooo", "++", "**")
GOOD, BAD, LIMIT, MUTED = "#009E73", "#D55E00", "#D55E00", "#5f6b76"
INK, GRID = "#1c2733", "#d9dee3"
FONTS = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
"""The reader's own fonts, so that names in any script are shown if the reader can show them at all."""

_SHORTEST_SPAN = 3.0
"""Days that an axis of dates shows to both sides of less than this."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEPS = [1, 2, 4, 5, 8, 10]
_STYLE: dict[Any, Any] = {
    # Text as text: it can be found and copied, and no font of this machine is needed to draw it.
    "svg.fonttype": "none",
    # The same figures make the same bytes.
    "svg.hashsalt": "davault",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}


def size(count: float) -> str:
    """Bytes with a binary unit, for axes and labels."""
    value, power = float(count), 0
    while abs(value) >= 1023.5 and power < len(_UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.0f} {_UNITS[power]}" if abs(value) >= 10 or value == int(value) else f"{value:.1f} {_UNITS[power]}"


class Chart:
    """One figure with one pair of axes, drawn by whoever made it, then taken as SVG.

    Names of configurations are put in by ``name``: matplotlib lays out a stand-in as wide as the name will be, since it
    may have no font for it, and the name replaces it in the SVG.
    """

    def __init__(self, title: str, *, width: float = 8.6, height: float = 3.4, titled: bool = True) -> None:
        """``width`` and ``height`` in inches of 72 points; ``titled``: draw the title, too."""
        self._names: dict[str, str] = {}
        self.title = title
        with mpl.rc_context(_STYLE):
            self.figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
            self.axes: Axes = self.figure.add_subplot()
            if titled:
                self.axes.set_title(title)

    def name(self, text: str) -> str:
        """The stand-in for a name or other foreign text."""
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
        stand_in = f"Q{len(self._names):02}".ljust(max(width, 3), "n")
        self._names[stand_in] = text
        return stand_in

    def bytes_axis(self) -> None:
        """Label the vertical axis with binary units, from zero."""
        axis = self.axes.yaxis
        top = max(self.axes.get_ylim()[1], 1.0)
        self.axes.set_ylim(0, top)
        axis.set_major_locator(_BinaryLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))

    def date_axis(self) -> None:
        """Label the horizontal axis with as few dates as are needed."""
        locator = AutoDateLocator(minticks=3, maxticks=7)
        self.axes.xaxis.set_major_locator(locator)
        days = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
        self.axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, formats=days, show_offset=False))
        self.axes.margins(x=0.01)
        first, last = self.axes.dataLim.intervalx
        if last - first < _SHORTEST_SPAN:
            # The first days of all: a line has hardly a length yet, and the axis would show seconds, or years.
            self.axes.set_xlim(first - _SHORTEST_SPAN, last + _SHORTEST_SPAN)
            for line in self.axes.lines:
                if len(np.asarray(line.get_xdata())) == 1 and line.get_marker() == "None":
                    line.set_marker("o")

    def values_axis(self, shown: Callable[[float], str], *, from_zero: bool = True) -> None:
        """Label the vertical axis with values as ``shown`` writes them."""
        if from_zero:
            self.axes.set_ylim(bottom=0)
        else:
            low, high = self.axes.get_ylim()
            self.axes.set_ylim(low / 1.5, high * 1.5)  # wide enough for two labels, however much alike the values are
            self.axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        self.axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
        self.axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))

    def legend(self, *, columns: int = 3) -> None:
        """Explain lines and bars below the axes."""
        handles, labels = self.axes.get_legend_handles_labels()
        if handles:
            columns = min(columns, len(handles))
            self.figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=9, frameon=False)

    def svg(self, *, description: str) -> str:
        """The figure as one ``<svg>`` element that scales to its place; ``description`` is for those who cannot see."""
        out = io.StringIO()
        with mpl.rc_context(_STYLE):
            # Dates and creator would make each drawing differ.
            FigureCanvasSVG(self.figure).print_svg(out, metadata={"Date": None, "Creator": None})
        return _embeddable(out.getvalue(), self.title, description, self._names)


class _BinaryLocator(MaxNLocator):
    """Ticks at round numbers of the unit in which the axis will be labelled."""

    def __init__(self, bins: int) -> None:
        super().__init__(nbins=bins, steps=_STEPS)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        power = 0
        while vmax / 1024 ** (power + 1) >= 1 and power < len(_UNITS) - 1:
            power += 1
        unit = 1024.0**power
        return [tick * unit for tick in super().tick_values(vmin / unit, vmax / unit)]


def _embeddable(svg: str, title: str, description: str, names: Mapping[str, str]) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1, flags=re.DOTALL)
    spoken = f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
    body = re.sub(r"(<svg[^>]*)>", rf'\1 role="img">{spoken}', body, count=1, flags=re.DOTALL)
    body = body.replace("'DejaVu Sans', sans-serif", FONTS).replace("'DejaVu Sans'", FONTS)
    for stand_in, text in names.items():
        body = body.replace(f">{stand_in}<", f">{html.escape(text)}<")
    return body.strip()


def colour_of(names: Sequence[str], name: str) -> str:
    """The colour of a configuration among ``names``; after eight they repeat."""
    return COLOURS[names.index(name) % len(COLOURS)]
