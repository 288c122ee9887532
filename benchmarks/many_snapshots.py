"""How long the short commands take with many snapshots in the catalogue: 500 of 2,000 files each, a million in all.

    python -m benchmarks.many_snapshots [--home DIR] [--snapshots N] [--files N] [--repeat N]

Real backups of a small tree that changes a little each simulated day, into a repository on this disk; made once below
the home and used again by the next run. Each command is then run as a person runs it, in a process of its own, and its
best time is told with the start of the interpreter included. Figures depend on the machine: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.clocks import ManualClock

NAME = "many"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("version",),
    ("list",),
    ("list", NAME),
    ("usage",),
    ("stats", NAME),
    ("cleanup", NAME, "--dry-run", "--keep-last", "30"),
)
CHANGED_A_DAY = 5


def make(home: Path, snapshots: int, files: int) -> None:
    """Bring the home to at least so many snapshots."""
    source = home / "source"
    if not source.exists():
        for number in range(files):
            path = source / f"{number // 100:02}" / f"{number:05}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"file {number}\n" * (1 + number % 7))
    clock = ManualClock(datetime(2025, 1, 1, 2, 0, tzinfo=UTC))
    with open_application(home / "home", clock=clock) as application:
        if not application.list_configs():
            application.add_client(ClientConfig(name="disk", url=(home / "store").as_uri()))
            application.add_config(
                BackupConfig(name=NAME, source_paths=[str(source)], target_client_id="disk", target_path="/backups",
                             encrypt=False, workers=1)
            )  # fmt: skip
        done = len(application.backups(NAME))
        clock.set(clock.now() + timedelta(days=done))
        for day in range(done, snapshots):
            for number in range(CHANGED_A_DAY):
                path = source / "00" / f"{(day * CHANGED_A_DAY + number) % 100:05}.txt"
                path.write_text(f"day {day}\n")
            application.backup(NAME)
            clock.advance(86_400)
            if sys.stderr.isatty() or day % 50 == 49:
                print(f"{day + 1} of {snapshots} snapshots", file=sys.stderr)


def measure(home: Path, words: tuple[str, ...], repeat: int) -> tuple[float, float]:
    """(best wall time, best processor time) in seconds."""
    program = [str(Path(sys.executable).with_name("davault")), "--home", str(home / "home"), *words]
    walls, processors = [], []
    for _ in range(repeat):
        used, begun = os.times(), time.perf_counter()
        subprocess.run(program, check=True, capture_output=True)
        walls.append(time.perf_counter() - begun)
        now = os.times()
        processors.append(now.children_user - used.children_user + now.children_system - used.children_system)
    return min(walls), min(processors)


def main() -> None:
    """Make the snapshots if they are not there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "davault-many-snapshots")
    parser.add_argument("--snapshots", type=int, default=500)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    make(options.home, options.snapshots, options.files)
    print(f"{options.snapshots} snapshots of {options.files:,} files each; load average {os.getloadavg()[0]:.1f}")
    print(f"{'command':<42} {'wall':>8} {'processor':>10}")
    for words in COMMANDS:
        wall, processor = measure(options.home, words, options.repeat)
        print(f"davault {' '.join(words):<34} {wall:7.2f}s {processor:9.2f}s")


if __name__ == "__main__":
    main()
