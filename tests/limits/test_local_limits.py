"""A machine that has run out of something: room, memory, file handles, the right to write, a healthy disk."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup_core.cli import main
from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.local import LocalBackend
from backup_core.testing.trees import describe, differences, make_tree
from backup_core.types import Secret

PROGRAM = "import sys; from backup_core.cli import main; sys.exit(main(sys.argv[1:]))"
OK, PROBLEMS, STORAGE, LOCAL = 0, 3, 6, 9
MIB = 1 << 20


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory at ``place``."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "davault-test", place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"this machine mounts nothing for us: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


class Machine:
    """Runs the program, in a process of its own where that process is to be limited."""

    def __init__(self, top: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.top = top
        self.captured = captured
        self.home = top / "home"
        self.source = make_tree(top / "source", files=20, largest=50_000)

    def run(self, *words: object, limit: Callable[[], None] | None = None) -> tuple[int, str]:
        """Exit code, and all that was said."""
        if limit is None:
            self.captured.readouterr()
            code = main(list(map(str, words)))
            return code, "".join(self.captured.readouterr())
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
            timeout=300,
        )
        told = done.stdout + done.stderr
        assert "Traceback" not in told, told
        return done.returncode, told

    def surely(self, *words: object) -> None:
        code, told = self.run(*words)
        assert code == OK, told

    def set_up(self, store: Path) -> None:
        self.surely("client", "add", "disk", "--url", store.as_uri())
        self.surely("config", "add", "docs", "--client", "disk", "--path", "r", "--source", self.source,
                    "--key-env", "KEY")  # fmt: skip
        self.surely("init", "docs")
        self.surely("backup", "docs")

    def assert_restores(self, *choice: str) -> None:
        out = self.top / "out"
        self.surely("restore", *(choice or ("docs",)), "--target", out)
        assert differences(describe(self.source), describe(out / "source")) == []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KEY", "a key that nobody guesses")
    return Machine(tmp_path, capsys)


def limited(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


def add_random_files(source: Path, count: int) -> None:
    for number in range(count):
        (source / f"random {number}").write_bytes(os.urandom(MIB))


def test_a_full_disk_under_the_repository(machine: Machine, tmp_path: Path) -> None:
    with mounted(tmp_path / "store", "size=12m") as store:
        machine.set_up(store)
        add_random_files(machine.source, 20)
        code, told = machine.run("backup", "docs")
        assert code == STORAGE, told
        assert "room" in told or "space" in told or "full" in told, told
        for number in range(20):
            (machine.source / f"random {number}").unlink()
        machine.surely("validate", "--config", "docs", "--depth", "data")
        machine.surely("prune", "docs")
        machine.surely("backup", "docs")
        machine.assert_restores()


def test_a_full_disk_under_the_home(machine: Machine, tmp_path: Path) -> None:
    with mounted(machine.home, "size=8m"):
        machine.set_up(tmp_path / "store")
        filler = machine.home / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(16 * MIB))
        code, told = machine.run("backup", "docs")
        assert code in (OK, PROBLEMS, LOCAL), told
        assert code == OK or str(machine.home) in told or "No space" in told or "disk" in told, told
        filler.unlink()
        machine.surely("backup", "docs")
        machine.assert_restores()


def test_a_home_that_cannot_be_written(machine: Machine, tmp_path: Path) -> None:
    with mounted(machine.home, "size=16m"):
        machine.set_up(tmp_path / "store")
        subprocess.run(["mount", "-o", "remount,ro", machine.home], check=True)
        code, told = machine.run("backup", "docs")
        assert code == LOCAL, told
        assert str(machine.home) in told, told
        code, told = machine.run("restore", "docs", "--target", tmp_path / "out")
        assert code in (OK, LOCAL), told
        subprocess.run(["mount", "-o", "remount,rw", machine.home], check=True)
        machine.surely("backup", "docs")
        machine.assert_restores()


def test_a_full_disk_under_the_target_of_a_restore(machine: Machine, tmp_path: Path) -> None:
    add_random_files(machine.source, 6)
    machine.set_up(tmp_path / "store")
    with mounted(tmp_path / "small", "size=3m") as target:
        code, told = machine.run("restore", "docs", "--target", target)
        assert code == LOCAL, told
        assert "room" in told, told
        assert list(target.iterdir()) == []
    machine.assert_restores()


def test_few_file_handles(machine: Machine, tmp_path: Path) -> None:
    machine.set_up(tmp_path / "store")
    add_random_files(machine.source, 3)
    for number in (12, 32):
        code, told = machine.run("backup", "docs", limit=limited(resource.RLIMIT_NOFILE, number))
        assert code == OK or told.strip(), number
    machine.surely("backup", "docs")
    machine.surely("validate", "--config", "docs", "--depth", "data")
    machine.assert_restores()


def test_little_memory(machine: Machine, tmp_path: Path) -> None:
    machine.set_up(tmp_path / "store")
    add_random_files(machine.source, 30)
    for number in (200, 500):
        code, told = machine.run("backup", "docs", limit=limited(resource.RLIMIT_AS, number * MIB))
        assert code == OK or told.strip(), number
    machine.surely("backup", "docs")
    machine.surely("validate", "--config", "docs", "--depth", "data")
    machine.assert_restores()


def test_a_disk_that_cannot_read_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_tree(tmp_path / "source", files=5)
    bad = source / "bad sector.bin"
    bad.write_bytes(os.urandom(30 * MIB))
    real, inode, calls = os.readv, bad.stat().st_ino, [0]

    def failing(descriptor: int, buffers: Any) -> int:
        if os.fstat(descriptor).st_ino == inode:
            calls[0] += 1
            if calls[0] > 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, buffers)

    clock = SystemClock()
    options = BackupOptions(
        sources=(str(source),), kind="full", hostname="h", username="u", backup_id="b", start_method="thread"
    )
    how: dict[str, Any] = {"cancel": CancelToken(), "progress": ProgressTracker(no_progress, clock=clock)}
    with Repository.create(
        LocalBackend(tmp_path / "store"), Secret("pw"), clock=clock, random_bytes=os.urandom,
        options=RepositoryOptions(cache_directory=tmp_path / "cache"),
    ) as repository:  # fmt: skip
        with monkeypatch.context() as patched:
            patched.setattr(os, "readv", failing)
            done = run_backup(repository, options, clock=clock, **how)
        assert calls[0] > 1
        assert [(p.kind, Path(p.path).name) for p in done.problems] == [("unreadable", bad.name)]
        bad.unlink()
        plan = plan_restore(repository, repository.load_snapshot(done.snapshot_id), tmp_path / "out", **how)
        assert run_restore(repository, plan, clock=clock, **how).failed == {}
    there = {name: entry for name, entry in describe(source).items() if name != b"."}
    assert there == {name: entry for name, entry in describe(tmp_path / "out" / "source").items() if name != b"."}
