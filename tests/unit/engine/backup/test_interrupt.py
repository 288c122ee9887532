"""Backups in a process of their own, which somebody interrupts or kills."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import os, random, signal, sys
from pathlib import Path
from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.local import LocalBackend
from backup_core.types import Secret

# Tests that a shell runs in its background pass an ignored SIGINT on to all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
place, cache, source, method = sys.argv[1:]
clock = SystemClock()
options = RepositoryOptions(pack_size=1 << 20, cache_directory=Path(cache))
how = {"clock": clock, "random_bytes": os.urandom, "options": options}
backend = LocalBackend(Path(place))
known = (Path(place) / "config").exists()
repository = (Repository.open if known else Repository.create)(backend, Secret("pw"), **how)

def tell(progress):
    if progress.phase == "backup" and progress.bytes_stored > 3_000_000:
        os.write(1, b"m")

done = run_backup(
    repository,
    BackupOptions(sources=(source,), kind="incremental", hostname="h", username="u", backup_id="b",
                  start_method=method, workers=2),
    clock=clock, progress=ProgressTracker(tell, clock=clock, interval=0), cancel=CancelToken(),
)
repository.close()
os.write(1, b"|%d|%d" % (done.data_added, done.files))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """60 MB that nothing makes smaller."""
    top = tmp_path / "source"
    top.mkdir()
    chance = random.Random(5)
    for number in range(60):
        (top / str(number)).write_bytes(chance.randbytes(1_000_000))
    return top


class Run:
    def __init__(self, tmp_path: Path, source: Path, method: str) -> None:
        self.place = tmp_path / "repository"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, self.place, tmp_path / "cache", source, method],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_until_packs_are_stored(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.read(1) == b"m"

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]

    def names(self, directory: str) -> list[str]:
        return sorted(path.name for path in (self.place / directory).rglob("*") if path.is_file())


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()


def ended(pid: int) -> bool:
    """Whether a process ends within a minute."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize("method", ["thread", "fork", "spawn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_behind_but_what_the_next_one_uses(
    tmp_path: Path, source: Path, runs: list[Run], method: str, number: signal.Signals
) -> None:
    first = Run(tmp_path, source, method)
    runs.append(first)
    first.wait_until_packs_are_stored()
    children = first.children()
    assert len(children) == (0 if method == "thread" else 2)
    if number is signal.SIGINT:
        os.killpg(first.process.pid, number)  # as the terminal does it: to main and to all that belong to it
    else:
        first.process.kill()
    _, complaint = first.process.communicate(timeout=120)
    assert first.process.returncode == -number
    assert (b"KeyboardInterrupt" in complaint) is (number is signal.SIGINT)
    assert all(ended(pid) for pid in children)
    assert first.names("snapshots") == []
    if number is signal.SIGINT:
        assert first.names("locks") == []
        assert first.names("index") != []
    stored = first.names("data")

    second = Run(tmp_path, source, "thread")
    runs.append(second)
    output, complaint = second.process.communicate(timeout=120)
    added, files = map(int, output.split(b"|")[1:])
    assert files == 60
    assert added < 60_000_000 - (len(stored) - 4) * 1_000_000  # up to four uploads were under way
    assert set(stored) <= set(second.names("data"))
    assert second.names("locks") == []
    assert len(second.names("snapshots")) == 1
