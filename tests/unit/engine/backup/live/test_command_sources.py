"""The output of commands as files of a backup: whole, or the backup does not come about."""

from __future__ import annotations

import os
import random
import select
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.live.command_stream import CommandSource, CommandStream
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.errors import Cancelled, SourceError
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.results import Outcome

PATHS = {"PATH": "/usr/bin:/bin"}
MIB = 1 << 20


def printing(data: Path) -> tuple[str, ...]:
    return ("cat", str(data))


def source_of(name: str, command: str | tuple[str, ...], **wishes: Any) -> CommandSource:
    return CommandSource(name, command, environment={**PATHS, **wishes.pop("environment", {})}, **wishes)


def test_what_a_command_prints_is_a_file_like_any_other(bench: Any, source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(random.Random(3).randbytes(5 * MIB) + bytes(2 * MIB))
    hostile = "dumps/部门/a 'b\".sql"
    shouting = source_of(hostile, "printf '%s' \"$WHO\" | tr a-z A-Z", environment={"WHO": "me"})
    commands = (source_of("shop.sql", printing(data)), shouting)
    done = bench.back_up(source, commands=commands)
    assert done.outcome is Outcome.COMPLETED
    nodes = bench.nodes(done)
    assert bench.content(nodes["shop.sql"]) == data.read_bytes()
    assert nodes["shop.sql"].size == 7 * MIB
    assert bench.content(nodes[hostile]) == b"ME"
    assert nodes["dumps"].type == "dir"
    assert bench.snapshot(done).paths == (str(source), "/shop.sql", "/" + hostile)
    assert (done.files, done.files_new) == (14, 14)
    # Chunks that are stored already are not stored again, though the command is run again.
    again = bench.back_up(source, commands=commands)
    assert (again.backup_type, again.files_unchanged, again.files_changed) == ("incremental", 14, 0)
    assert again.data_added < 20_000
    data.write_bytes(data.read_bytes() + b"more")
    changed = bench.back_up(source, commands=commands)
    assert (changed.files_changed, bench.content(bench.nodes(changed)["shop.sql"])) == (1, data.read_bytes())


def test_commands_alone_are_a_backup_and_restore_like_files(bench: Any, tmp_path: Path) -> None:
    done = bench.back_up(commands=(source_of("dumps/one.sql", "echo one"), source_of("two.sql", "echo two")))
    bench.repository.load_index()
    target = tmp_path / "target"
    tracker = ProgressTracker(no_progress, clock=bench.clock)
    cancel = CancelToken()
    plan = plan_restore(
        bench.repository, bench.snapshot(done), str(target), patterns=["two.sql"], cancel=cancel, progress=tracker
    )
    run_restore(bench.repository, plan, clock=bench.clock, progress=tracker, cancel=cancel)
    assert [p.name for p in target.iterdir()] == ["two.sql"]
    assert (target / "two.sql").read_text() == "two\n"
    assert (target / "two.sql").stat().st_mode & 0o777 == 0o600


def test_an_output_stands_beside_what_lies_in_the_root_of_the_file_system(bench: Any, source: Path) -> None:
    commands = (source_of("zz/a.sql", "echo a"), source_of("0first.sql", "echo b"))
    # Of the whole file system just one directory, so that the test ends.
    way = [*map(str, reversed(source.parents)), str(source)]
    rules = tuple(rule for here, next_ in pairwise(way) for rule in (f"{here.rstrip('/')}/*", f"!{next_}"))
    done = bench.back_up("/", exclude=rules, commands=commands)
    nodes = bench.nodes(done)
    assert bench.content(nodes["zz/a.sql"]) == b"a\n"
    assert bench.content(nodes["0first.sql"]) == b"b\n"
    assert f"{source}/a/file0"[1:] in nodes
    with pytest.raises(SourceError, match="would be stored where /etc is"):
        bench.back_up("/", commands=(source_of("etc/x.sql", "echo"),))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo half; echo 'disk on fire' >&2; exit 3", "ended with exit code 3. It said: disk on fire"),
        ("echo half; kill -9 $$", "was ended by signal 9"),
        (("/no/such/program",), "could not be started: No such file"),
        ("echo half | cat; (echo half; false) | cat", "ended with exit code 1"),
    ],
)
def test_a_command_that_fails_leaves_no_snapshot(bench: Any, source: Path, command: Any, told: str) -> None:
    before = bench.back_up(source)
    with pytest.raises(SourceError) as caught:
        bench.back_up(source, commands=(source_of("good.sql", "echo good"), source_of("bad.sql", command)))
    assert told in str(caught.value)
    assert caught.value.path == "bad.sql"
    assert [s.id for s in bench.repository.snapshots()] == [before.snapshot_id]
    assert not [name for name in bench.store.objects if name.startswith("locks/")]
    # And what was stored of it harms nobody.
    assert bench.back_up(source).outcome is Outcome.COMPLETED


def test_a_command_whose_time_is_up_is_ended_with_its_children(bench: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"echo begin; sleep 1000 & echo $! > {pids}; wait"
    stream = CommandStream(source_of("slow.sql", line, timeout=0.3), clock=SystemClock(), cancel=CancelToken())
    with pytest.raises(SourceError, match=r"did not end within 0\.3 seconds"), stream:
        buffer = memoryview(bytearray(100))
        while stream.read_into(buffer):
            pass
    assert not alive(int(pids.read_text()))


def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    cancel = CancelToken()
    stream = CommandStream(source_of("x", f"echo $$ > {pids}; echo go; sleep 1000"), clock=SystemClock(), cancel=cancel)
    with pytest.raises(Cancelled), stream:
        assert stream.read_into(memoryview(bytearray(10))) == 3
        cancel.cancel()
        stream.read_into(memoryview(bytearray(10)))
    assert not alive(int(pids.read_text()))


def test_what_is_said_on_stderr_neither_fills_memory_nor_stops_the_command(bench: Any) -> None:
    script = "import sys\nfor n in range(20000): print('noise', n, file=sys.stderr)\nprint('data')"
    loud = CommandSource("out", (sys.executable, "-c", script), environment=PATHS)
    assert bench.content(bench.nodes(bench.back_up(commands=(loud,)))["out"]) == b"data\n"


def test_an_empty_output_is_told(bench: Any) -> None:
    done = bench.back_up(commands=(source_of("empty.sql", "true"),))
    assert [problem.kind for problem in done.problems] == ["empty-output"]
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert bench.nodes(done)["empty.sql"].size == 0


def test_names_must_not_meet(bench: Any, source: Path) -> None:
    inside = str(source / "new.sql")[1:]
    for names in (["a.sql", "a.sql"], ["a", "a/b"], [inside], [str(source)[1:]]):
        with pytest.raises(SourceError, match="give the command another name"):
            bench.back_up(source, commands=tuple(source_of(name, "echo") for name in names))


def test_a_rehearsal_runs_no_command(bench: Any, source: Path, tmp_path: Path) -> None:
    done = bench.back_up(source, commands=(source_of("x.sql", f"touch {tmp_path}/ran"),), dry_run=True)
    assert not (tmp_path / "ran").exists()
    assert any("1 commands were not run" in note for note in done.notes)


def alive(pid: int) -> bool:
    """Whether a process goes on. The system takes a moment to end one that was killed."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([descriptor], [], [], 10)[0]
    finally:
        os.close(descriptor)
