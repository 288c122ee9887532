"""Restores that do not come to their end: cancelled, killed, out of room, without a server - and what follows."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backup_core.engine import restore_write, target
from backup_core.engine.durability import flush_to_disk
from backup_core.errors import AccessDenied, Cancelled, ConnectionLost, RestoreError, ServerFailure
from backup_core.results import Outcome
from backup_core.testing.trees import describe, differences, make_tree


def parts_in(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if target.is_part(os.fsencode(p.name))]


def whole(restored: Path, source: Path) -> int:
    """Number of files restored so far, each of which must be right."""
    count = 0
    parts = parts_in(restored)
    for path in restored.rglob("*"):
        if path.is_file() and path not in parts:
            assert path.read_bytes() == (source / path.relative_to(restored)).read_bytes()
            count += 1
    return count


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = make_tree(tmp_path / "docs", files=60)
    (path / "big.bin").write_bytes(random.Random(5).randbytes(600_000))
    return path


class Interruption:
    """Does something at the n-th request for a pack."""

    def __init__(self, backend, at: int, act) -> None:
        self._inner, self._at, self._act, self._seen = backend.get, at, act, 0
        self._lock = threading.Lock()
        backend.get = self

    def __call__(self, name: str, **how):
        if name.startswith("data/"):
            with self._lock:
                self._seen += 1
                due = self._seen > self._at
            if due:
                self._act()
        return self._inner(name, **how)


@pytest.mark.parametrize("at", [0, 1, 3, 7])
def test_a_cancelled_restore_leaves_whole_files_and_the_next_one_ends_it(bench, tmp_path, source, at) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    honest = bench.backend.get
    Interruption(bench.backend, at, lambda: bench.cancel.cancel("enough"))
    summary = bench.run(plan, workers=2)
    bench.backend.get = honest
    assert summary.outcome is Outcome.CANCELLED
    assert summary.failed == {}
    assert parts_in(tmp_path / "out") == []
    there = whole(tmp_path / "out" / "docs", source)
    assert there < summary.files_total
    bench.cancel = type(bench.cancel)()
    again = bench.restore(snapshot, tmp_path / "out")
    assert again.outcome is Outcome.COMPLETED
    assert again.files_unchanged == there
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_cancelling_does_not_wait_for_a_server_that_is_silent(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    answer = threading.Event()
    asked = threading.Event()

    def silence() -> None:
        asked.set()
        answer.wait(30)

    Interruption(bench.backend, 0, silence)
    done: list[Outcome] = []
    runner = threading.Thread(target=lambda: done.append(bench.run(plan, workers=2).outcome))
    runner.start()
    assert asked.wait(60)
    bench.cancel.cancel()
    runner.join(60)
    assert done == [Outcome.CANCELLED]
    before = describe(tmp_path / "out")
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "davault-restore":
            thread.join(60)
    # What the late answer brought is not written any more.
    assert differences(before, describe(tmp_path / "out")) == []


def test_planning_can_be_cancelled(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    bench.cancel.cancel()
    with pytest.raises(Cancelled):
        bench.plan(snapshot, tmp_path / "out")


def test_a_lost_server_keeps_what_was_fetched_for_the_next_run(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    honest = bench.backend.get

    def lose() -> None:
        raise ConnectionLost("no route to the server")

    Interruption(bench.backend, 4, lose)
    summary = bench.run(plan, workers=1)
    bench.backend.get = honest
    assert summary.outcome is Outcome.FAILED
    assert len(summary.failed) == summary.files_total - summary.files_restored
    assert set(summary.failed.values()) == {"no route to the server"}
    assert [p.kind for p in summary.problems] == ["no-server"]
    assert len(parts_in(tmp_path / "out")) == 1
    bench.backend.clear()
    again = bench.restore(snapshot, tmp_path / "out")
    assert again.outcome is Outcome.COMPLETED
    assert len(bench.fetched()) <= len(plan.packs) - 4 + 1
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []
    assert parts_in(tmp_path / "out") == []


def test_a_refused_account_stops_at_once(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")

    def refuse() -> None:
        raise AccessDenied("the password is wrong")

    Interruption(bench.backend, 0, refuse)
    bench.backend.clear()
    assert bench.run(plan, workers=1).outcome is Outcome.FAILED
    assert bench.fetched() == []


def test_one_pack_the_server_cannot_give_fails_only_its_files(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    honest = bench.backend.get
    bad = f"data/{plan.packs[1].pack.hex()[:2]}/{plan.packs[1].pack.hex()}"

    def get(name: str, **how):
        if name == bad:
            raise ServerFailure("500")
        return honest(name, **how)

    bench.backend.get = get
    summary = bench.run(plan, workers=1)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert 0 < len(summary.failed) < summary.files_total
    assert [p.object_id for p in summary.problems] == [plan.packs[1].pack.hex()]
    assert summary.files_restored == summary.files_total - len(summary.failed)


def test_too_little_room_is_known_before_the_first_byte(bench, tmp_path, source, monkeypatch) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    monkeypatch.setattr("backup_core.engine.restore_run.free_bytes", lambda path: 1000)
    bench.backend.clear()
    with pytest.raises(RestoreError, match="make room"):
        bench.run(plan)
    assert bench.fetched() == []
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_stops_the_restore_and_leaves_whole_files(bench, tmp_path, source, monkeypatch) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    honest = restore_write.write_all
    written = []

    def fill(descriptor: int, data, offset: int) -> None:
        if sum(written) > 300_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(len(data))
        honest(descriptor, data, offset)

    monkeypatch.setattr(restore_write, "write_all", fill)
    summary = bench.run(plan, workers=2)
    assert summary.outcome is Outcome.FAILED
    assert "no-room" in [p.kind for p in summary.problems]
    assert parts_in(tmp_path / "out") == []
    assert whole(tmp_path / "out" / "docs", source) == summary.files_restored


def test_what_one_file_cannot_have_is_told_and_the_file_restored(bench, tmp_path, source, monkeypatch) -> None:
    os.setxattr(source / "big.bin", "user.note", b"x")
    snapshot = bench.back_up(source)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    plan = bench.plan(snapshot, tmp_path / "out")
    monkeypatch.setattr(os, "setxattr", refuse)
    summary = bench.run(plan)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [(p.kind, p.path) for p in summary.problems] == [("metadata", "docs/big.bin")]
    assert summary.failed == {}
    assert (tmp_path / "out" / "docs" / "big.bin").read_bytes() == (source / "big.bin").read_bytes()


def test_parts_of_another_content_are_cleared_away_and_not_reused(bench, tmp_path, source) -> None:
    snapshot = bench.back_up(source)
    out = tmp_path / "out" / "docs"
    out.mkdir(parents=True)
    stale = os.fsdecode(target.part_name(b"big.bin", b"other content"))
    (out / stale).write_bytes(b"stale")
    own = os.fsdecode(target.part_name(b"big.bin", b"".join(_content(bench, snapshot, b"big.bin"))))
    # The right name and size, but what it holds is noise: every blob is checked.
    (out / own).write_bytes(random.Random(9).randbytes(600_000))
    bench.restore(snapshot, tmp_path / "out")
    assert parts_in(tmp_path / "out") == []
    assert differences(describe(source), describe(out)) == []


def _content(bench, snapshot, name: bytes):
    from backup_core.engine.find import iterate_files

    return next(n.content for _, n in iterate_files(bench.repository, snapshot) if n.name == name)


def test_restored_means_on_the_disk(bench, tmp_path, source, monkeypatch) -> None:
    snapshot = bench.back_up(source)
    there: list[int] = []
    monkeypatch.setattr(
        "backup_core.engine.restore_run.flush_to_disk", lambda _: there.append(whole(tmp_path / "out" / "docs", source))
    )
    summary = bench.restore(snapshot, tmp_path / "out")
    assert there == [summary.files_restored] and summary.outcome is Outcome.COMPLETED

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("backup_core.engine.restore_run.flush_to_disk", refuse)
    summary = bench.restore(snapshot, tmp_path / "again")
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [p.kind for p in summary.problems] == ["not-on-disk"]


def test_flushing_works_here_and_tells_what_fails(tmp_path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    flush_to_disk(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        flush_to_disk(descriptor)


NEVER = 10**9
KILLED = """
# Opens the repository once; then each line of stdin, "TARGET KILL_AT LOG", is a restore in a forked process of its own.
import os, signal, sys
from pathlib import Path
from backup_core.clock import SystemClock
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine import restore_write
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.local import LocalBackend
from backup_core.types import Secret

place, cache = Path(sys.argv[1]), Path(sys.argv[2])
left, log = [0], [-1]

def count():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

class Counting(LocalBackend):
    def get(self, name, **how):
        if not name.startswith("data/"):
            return super().get(name, **how)
        count()
        data = super().get(name, **how)
        os.write(log[0], b"%d\\n" % len(data))
        count()
        return data

def counted(act):
    def counting(*args, **kwargs):
        count()
        return act(*args, **kwargs)
    return counting

for act in ("write_all", "publish", "create_part", "stamp_open_file", "make_directory", "remove"):
    setattr(restore_write, act, counted(getattr(restore_write, act)))
clock = SystemClock()
repository = Repository.open(
    Counting(place), Secret("secret"), clock=clock, random_bytes=os.urandom,
    options=RepositoryOptions(cache_directory=cache),
)
snapshot = repository.snapshots()[0]

def restore(target):
    progress = ProgressTracker(no_progress, clock=clock)
    plan = plan_restore(repository, snapshot, target, cancel=CancelToken(), progress=progress)
    summary = run_restore(repository, plan, clock=clock, progress=progress, cancel=CancelToken(), workers=2)
    return summary.outcome == "completed"

for line in sys.stdin:
    target, kill_at, log_path = line.split()
    child = os.fork()
    if child == 0:
        left[0] = int(kill_at)
        log[0] = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        ended = restore(target)
        Path(log_path + ".left").write_text(str(left[0]))
        os._exit(0 if ended else 1)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_of_20_moments_it_resumes_and_ends_with_the_same_tree(tmp_path: Path, source: Path) -> None:
    from backup_core.clock import SystemClock
    from backup_core.repository.options import RepositoryOptions
    from backup_core.repository.repository import Repository
    from backup_core.storage.local import LocalBackend
    from backup_core.testing.plain_archiver import PlainArchiver
    from backup_core.types import Secret

    place, cache, pack = tmp_path / "store", tmp_path / "cache", 64 * 1024
    repository = Repository.create(
        LocalBackend(place),
        Secret("secret"),
        clock=SystemClock(),
        random_bytes=os.urandom,
        options=RepositoryOptions(pack_size=pack, cache_directory=cache),
    )
    PlainArchiver(repository).back_up(source)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(place), str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None and program.stdout is not None

        def run(out: Path, kill_at: int) -> int:
            program.stdin.write(f"{out} {kill_at} {out}.log\n")
            program.stdin.flush()
            return int(program.stdout.readline())

        def downloaded(out: Path) -> int:
            log = Path(f"{out}.log")
            return sum(map(int, log.read_text().split())) if log.exists() else 0

        assert run(tmp_path / "first", NEVER) == 0
        once = downloaded(tmp_path / "first")
        moments = NEVER - int((tmp_path / "first.log.left").read_text())
        before, killed = describe(source), 0
        for kill_at in random.Random(11).sample(range(1, moments), 20):
            out = tmp_path / f"out-{kill_at}"
            # Two workers take turns as they like: late moments may not come in every run.
            ended = run(out, kill_at)
            assert ended in (-signal.SIGKILL, 0)
            killed += ended != 0
            whole(out / "docs", source)
            assert run(out, NEVER) == 0
            # Each of the two workers may have lost the pack it was at; packs may be a blob larger than they should.
            assert downloaded(out) <= once + 2 * (pack + 8192)
            assert differences(before, describe(out / "docs")) == []
            assert parts_in(out) == []
        assert killed >= 15
        program.stdin.close()
