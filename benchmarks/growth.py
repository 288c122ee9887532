"""How cost grows with the number of files, and with the number of blobs in an index: ``make bench-growth``.

    python -m benchmarks.growth [--files 10000,100000] [--blobs 10000000] [--work DIR]

Trees of tiny files are backed up into a repository on this disk, backed up again without changes, and restored to
memory, each command in a process of its own as a person runs it. An index of so many blobs is made, opened and asked.
What was measured replaces its part of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backup_core.repository.index import IndexView
from backup_core.repository.index_builder import SegmentBuilder
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobType, IndexId, PackedBlob, PackId
from benchmarks.side_by_side.sampling import Cost, proportional_set_size, run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
PROGRAM = str(Path(sys.executable).with_name("davault"))
CASES = {"first": "first backup", "unchanged": "no changes", "restore": "full restore"}
BLOBS_IN_A_PACK = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """What an index of many blobs costs."""

    blobs: int
    size: int
    """Bytes on disk."""
    open_seconds: float
    memory: int
    """Bytes of this process more than before, after the look-ups."""
    found_us: float
    missed_us: float
    """Microseconds for a blob that is there, and one that is not."""


def make_tree(folder: Path, files: int) -> None:
    """So many files of some 20 bytes, a hundred in a directory."""
    for number in range(files):
        path = folder / f"{number // 10_000:03}" / f"{number // 100 % 100:02}" / f"{number:07}.txt"
        if number % 100 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"file number %7d\n" % number)


def measure(work: Path, target: Path, files: int) -> dict[str, Cost]:
    """All cases with a tree of so many files."""
    home = work / f"growth-{files}"
    shutil.rmtree(home, ignore_errors=True)
    source = home / "source"
    make_tree(source, files)
    environment = {**os.environ, "DAVAULT_HOME": str(home / "home"), "DAVAULT_KEY": "correct horse"}
    said = home / "said"
    for words in (
        ["client", "add", "disk", "--url", (home / "store").as_uri()],
        ["config", "add", "set", "--client", "disk", "--path", "/backups", "--source", str(source)],
        ["init", "set"],
    ):
        run([PROGRAM, *words], environment, said)
    commands = {
        "first": ["backup", "set"],
        "unchanged": ["backup", "set"],
        "restore": ["restore", "set", "--target", str(target)],
    }
    costs = {}
    for case, words in commands.items():
        os.sync()
        costs[case] = cost = run([PROGRAM, *words], environment, said)
        print(f"{files:9} files  {case:10} {cost.wall:8.2f} s {cost.processor:8.2f} s CPU "
              f"{cost.peak_memory / 1e6:6.0f} MB", file=sys.stderr)  # fmt: skip
    shutil.rmtree(target)
    shutil.rmtree(home)
    return costs


def _index_files(blobs: int) -> Iterator[tuple[IndexId, list[tuple[PackId, list[PackedBlob]]]]]:
    chance = random.Random(7)
    for number in range(0, blobs, BLOBS_IN_A_PACK):
        pack = PackId(chance.randbytes(32))
        content = [
            PackedBlob(BlobId(chance.randbytes(32)), BlobType.DATA, at * 500, 500, 900) for at in range(BLOBS_IN_A_PACK)
        ]
        yield IndexId(f"{number:064x}"), [(pack, content)]


def _memory() -> int:
    return proportional_set_size(Path("/proc/self/smaps_rollup").read_text())


def ask_index(work: Path, blobs: int) -> Asked:
    """Make an index, open it as a command does, and look for blobs."""
    path = work / "growth-index"
    known: list[BlobId] = []
    with SegmentBuilder(work) as builder:
        for index, packs in _index_files(blobs):
            builder.add_index(index, packs)
            known.append(packs[0][1][0].id)
        builder.write(path)
    gc.collect()
    before = _memory()
    begun = time.perf_counter()
    view = IndexView([Segment(path)])
    opened = time.perf_counter() - begun
    asked = known[:20_000]
    unknown = [BlobId(random.Random(n).randbytes(32)) for n in range(len(asked))]
    begun = time.perf_counter()
    found = sum(view.find(blob, BlobType.DATA) is not None for blob in asked)
    between = time.perf_counter()
    missed = sum(view.contains(blob, BlobType.DATA) for blob in unknown)
    ended = time.perf_counter()
    if (found, missed) != (len(asked), 0):
        raise SystemExit("the index does not hold what was put into it")
    result = Asked(blobs, path.stat().st_size, opened, _memory() - before,
                   (between - begun) / len(asked) * 1e6, (ended - between) / len(asked) * 1e6)  # fmt: skip
    view.close()
    path.unlink()
    return result


def rendered(trees: dict[int, dict[str, Cost]], index: Asked | None) -> str:
    """The part of the page between the marks."""
    lines = ["| files | operation | wall, s | CPU, s | times | memory, MB |", "|---:|---|---:|---:|---:|---:|"]
    for case, name in CASES.items():
        before: Cost | None = None
        for files, costs in sorted(trees.items()):
            cost = costs[case]
            times = f"{cost.processor / before.processor:.1f}" if before else "–"
            lines.append(f"| {files:,} | {name} | {cost.wall:.2f} | {cost.processor:.2f} | {times} | "
                         f"{cost.peak_memory / 1e6:.0f} |")  # fmt: skip
            before = cost
    text = "\n".join(lines)
    if index is not None:
        text += (
            f"\n\nAn index of {index.blobs:,} blobs takes {index.size / 1e6:.0f} MB on the disk; it is checked and "
            f"opened in {index.open_seconds:.2f} s. {min(20_000, index.blobs // BLOBS_IN_A_PACK):,} look-ups of blobs "
            f"that are there took {index.found_us:.1f} µs each, as many of others {index.missed_us:.1f} µs, and after "
            f"them the process held {index.memory / 1e6:.0f} MB more than before, pages of the mapped file included."
        )
    return text


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default="10000,100000", help="sizes of trees")
    parser.add_argument("--blobs", type=int, default=10_000_000, help="0: no index")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/davault-bench"))
    parser.add_argument("--target", type=Path, default=Path("/dev/shm/davault-growth"))
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    index = ask_index(chosen.work, chosen.blobs) if chosen.blobs else None
    trees = {int(files): measure(chosen.work, chosen.target, int(files)) for files in chosen.files.split(",")}
    text = rendered(trees, index)
    page = PAGE.read_text()
    PAGE.write_text(f"{page.split(BEGIN)[0]}{BEGIN}\n{text}\n{END}{page.split(END)[1]}")
    print(text)


if __name__ == "__main__":
    main()
