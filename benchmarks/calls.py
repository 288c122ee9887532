"""Calls and memory of whole operations with 1,000 files, compared with an earlier commit: ``make bench-micro``.

    python -m benchmarks.calls [--update]

Time depends on the machine and on what else it does; how many functions are called for a file does not. An operation
that has become more than 5 % dearer than ``calls.json`` says ends this program with an error. Everything runs in one
process: its worker is a thread, its repository in memory. Calls between threads vary by a few in a thousand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from backup_core.clock import SystemClock
from backup_core.engine.archiver import run_backup
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.types import Secret

BASELINE = Path(__file__).with_name("calls.json")
FILES = 1000
ALLOWED = 1.05


class _Counter:
    """Calls of Python and C functions, in all threads that begin meanwhile and in this one."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> _Counter:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


def make_tree(folder: Path) -> None:
    """Files as small as those of source code, fifty in a directory."""
    chance = random.Random(3)
    for number in range(FILES):
        path = folder / f"{number // 50:02}" / f"{number:04}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(100, 3000)) * 2)


class Operations:
    """What is counted, on one repository."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._how = {"clock": SystemClock(), "progress": ProgressTracker(no_progress, clock=SystemClock()),
                     "cancel": CancelToken()}  # fmt: skip
        make_tree(work / "source")
        self._repository = Repository.create(
            MemoryBackend(), Secret("secret"), clock=SystemClock(), random_bytes=os.urandom,
            options=RepositoryOptions(cache_directory=work / "cache"),
        )  # fmt: skip

    def backup(self) -> None:
        """The first time everything, after that nothing new."""
        options = BackupOptions(
            sources=(str(self._work / "source"),), kind="incremental", hostname="host", username="user", backup_id="b",
            workers=1, start_method="thread",
        )  # fmt: skip
        run_backup(self._repository, options, **self._how)

    def plan(self) -> None:
        """Decide what a restore into an empty directory does."""
        how = {name: self._how[name] for name in ("progress", "cancel")}
        snapshot = self._repository.snapshots()[-1]
        self._plan = plan_restore(self._repository, snapshot, self._work / "out", **how)

    def restore(self) -> None:
        """Carry that plan out, by one thread."""
        run_restore(self._repository, self._plan, workers=1, **self._how)


def count(act: Callable[[], None]) -> dict[str, float]:
    """Calls a file, and the most memory that Python held meanwhile beyond what it held before, in KB."""
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    with _Counter() as counter:
        act()
    peak = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    return {"calls a file": round(counter.calls / FILES, 1), "peak KB": round(peak / 1000)}


def measure() -> dict[str, dict[str, float]]:
    """All operations, in the order in which a repository lives."""
    with tempfile.TemporaryDirectory(prefix="davault-calls-") as work:
        operations = Operations(Path(work))
        return {
            "first backup": count(operations.backup),
            "no changes": count(operations.backup),
            "plan of a restore": count(operations.plan),
            "restore": count(operations.restore),
        }


def main() -> None:
    """Count, show beside the baseline, and end with an error when something has become dearer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="take what is counted as the new baseline")
    update = parser.parse_args().update
    now = measure()
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    python = ".".join(platform.python_version_tuple()[:2])
    before = known.get(python, {})
    dearer = []
    for name, figures in now.items():
        for what, value in figures.items():
            earlier = before.get(name, {}).get(what)
            shown = "no baseline" if earlier is None else f"{value / earlier - 1:+.1%} of {earlier:g}"
            print(f"{name:20} {what:14} {value:10g}  {shown}")
            if earlier is not None and value > earlier * ALLOWED:
                dearer.append(f"{name}: {what}")
    if update:
        BASELINE.write_text(json.dumps({**known, python: now}, indent=1, sort_keys=True) + "\n")
    elif dearer:
        raise SystemExit(f"dearer than before: {', '.join(dearer)}; if that has to be, say so with --update")


if __name__ == "__main__":
    main()
