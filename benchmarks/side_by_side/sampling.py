"""What one command costs: wall time, processor time, and the most memory that all its processes took together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL = 0.05
"""Seconds between two looks at the memory."""


class CommandFailed(Exception):
    """A command that was to be measured ended with an error; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command with all processes it started."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of user and system time."""
    peak_memory: int
    """Bytes, as proportional set size: pages that processes share count once."""
    others: float
    """What all else on the machine used of its processors meanwhile, the server and the sampling included: 0 to 1."""


def proportional_set_size(rollup: str) -> int:
    """Bytes, by the text of ``/proc/PID/smaps_rollup``."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_of_tree(pid: int) -> int:
    """Bytes that the process and all its descendants take at this moment; those that end meanwhile count nothing."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(_memory_of(each.pid) for each in family)
    return 0


def _memory_of(pid: int) -> int:
    try:
        return proportional_set_size(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:  # it has ended
        return 0


def run(command: Sequence[str], environment: Mapping[str, str], said: Path) -> Cost:
    """Run it to its end; raises ``CommandFailed``. ``said`` takes its output."""
    with said.open("wb") as output:
        begun, busy = time.perf_counter(), _busy()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        stop, peaks = threading.Event(), [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, stop, peaks))
        watcher.start()
        # Counts what the command's own children used, too, as far as it waited for them.
        _, status, usage = os.wait4(process.pid, 0)
        wall, busy = time.perf_counter() - begun, _busy() - busy
        stop.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = said.read_text(errors="replace")[-2000:]
        raise CommandFailed(f"{' '.join(command)} ended with {process.returncode}: {end}")
    own = usage.ru_utime + usage.ru_stime
    return Cost(wall, own, peaks[0], others=max(0.0, busy - own) / wall / (os.cpu_count() or 1))


def _busy() -> float:
    """Seconds that all processors together have worked since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _watch(pid: int, stop: threading.Event, peaks: list[int]) -> None:
    while not stop.wait(INTERVAL):
        peaks[0] = max(peaks[0], memory_of_tree(pid))
