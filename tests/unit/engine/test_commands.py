"""Commands of other people end, tell why they failed, and cannot flood or outlive us."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.commands import HEAD_BYTES, TAIL_BYTES, run_command, shown
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.repository.processes import process_alive

CLOCK = SystemClock()


def test_words_are_not_given_to_a_shell(tmp_path: Path) -> None:
    done = run_command((sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; `id` *"), clock=CLOCK)
    assert (done.succeeded, done.output) == (True, "$HOME; `id` *\n")
    done = run_command('echo "$WHERE" && pwd', clock=CLOCK, environment={"WHERE": "这里"}, directory=tmp_path)
    assert done.output == f"这里\n{tmp_path}\n"


def test_failures_are_told() -> None:
    done = run_command("echo first; echo why >&2; exit 7", clock=CLOCK)
    assert (done.exit_code, done.failure, done.last_line) == (7, "it ended with exit code 7", "why")
    assert "could not be started: No such file" in run_command(("/no/such/program",), clock=CLOCK).failure
    assert run_command("kill -9 $$", clock=CLOCK).failure == "it was ended by signal 9"


def test_of_much_output_the_ends_are_kept() -> None:
    lines = 40_000
    done = run_command((sys.executable, "-c", f"for i in range({lines}): print(i)"), clock=CLOCK)
    assert done.output.startswith("0\n1\n") and done.last_line == str(lines - 1)
    assert "bytes left out" in done.output
    assert len(done.output) < HEAD_BYTES + TAIL_BYTES + 100


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
def test_a_timeout_ends_the_whole_group(tmp_path: Path, trap: str) -> None:
    pids = tmp_path / "pids"
    line = f"{trap} (while :; do sleep 1; done) & echo $! > {pids}; echo $$ >> {pids}; wait; while :; do sleep 1; done"
    done = run_command(line, clock=CLOCK, timeout=0.5, grace=0.2)
    assert done.timed_out and "did not end" in done.failure
    for pid in map(int, pids.read_text().split()):
        while _running(pid):  # killed, but not yet taken off the list of processes
            CLOCK.sleep(0.01)


def test_cancelling_ends_it() -> None:
    cancel = CancelToken()
    timer = threading.Timer(0.1, cancel.cancel, ["enough"])
    timer.start()
    with pytest.raises(Cancelled, match="enough"):
        run_command(("sleep", "1000"), clock=CLOCK, cancel=cancel)
    timer.join()


def test_what_a_command_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    done = run_command(f"sleep 1000 & echo $! > {tmp_path / 'pid'}; echo ready", clock=CLOCK, timeout=100)
    pid = int((tmp_path / "pid").read_text())
    assert done.succeeded and done.output == "ready\n" and not done.timed_out
    assert process_alive(pid)
    os.kill(pid, 9)


def test_nothing_is_to_be_read_from_us() -> None:
    assert run_command("cat; echo end", clock=CLOCK).output == "end\n"


def test_commands_are_shown_as_typed() -> None:
    assert shown("a | b") == "a | b"
    assert shown(("echo", "a b")) == "echo 'a b'"


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
