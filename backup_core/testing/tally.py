"""Counting what a long test went through, for the summary of ``make torture``."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path


class Tally:
    """Counts by name. Written to the directory that ``DAVAULT_TALLY`` names, and nowhere when it names none."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, **counts: int) -> None:
        """Add to each of these."""
        self.counts.update(counts)

    def write(self, title: str, **more: int) -> None:
        """Keep the counts, under the name of what was tried. Only called at the end: what failed leaves none."""
        if directory := os.environ.get("DAVAULT_TALLY"):
            place = Path(directory)
            place.mkdir(parents=True, exist_ok=True)
            told = {"title": title, **self.counts, **more}
            (place / f"{title}.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
