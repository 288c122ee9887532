"""Start workers as threads, forked or spawned processes, and tell how they ended.

A worker's only tie to the main process is its connection: when main dies, in whatever way, the connection closes and
the worker ends; when the worker dies, main reads the end of the stream. Spawned workers are plain programs
(``python -m`` this module) rather than children of ``multiprocessing``, which would run the caller's main module again.
They live in a session of their own, so that Ctrl+C at the terminal reaches the main process alone.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NoReturn, Protocol, TypeAlias

from backup_core.engine.pack_slots import PackSlots
from backup_core.engine.seen import SeenTable
from backup_core.engine.shared_memory import CAN_BE_PASSED, SlotMemory
from backup_core.engine.workers import Slots, run_worker
from backup_core.progress import CancelToken

StartMethod: TypeAlias = Literal["thread", "fork", "spawn"]

_WRITES_PACKS, _WRITES_FILES = "packs", "files"
"""What a spawned worker is told to be."""

_PATIENCE = 5.0
"""Seconds an ending worker is waited for."""


class WorkerHandle(Protocol):
    """A worker as main sees it."""

    connection: Connection
    """Main's end."""

    def close(self) -> None:
        """Let a worker that has nothing to do end; waits for it."""
        ...

    def kill(self) -> None:
        """End a worker in the midst of its work."""
        ...

    def how_it_ended(self) -> str:
        """Sentence part, after its connection broke."""
        ...


def start_worker(method: StartMethod, slots: Slots, seen: SeenTable) -> WorkerHandle:
    """Start one worker. Raises ``OSError`` when the system refuses another process."""
    if method == "fork":
        return _ForkedWorker(slots, seen)
    if method == "spawn":
        return _SpawnedWorker(slots, seen)
    return _ThreadWorker(slots, seen)


def can_spawn() -> bool:
    """Whether spawned workers work here."""
    return CAN_BE_PASSED and bool(sys.executable)


def can_fork_safely() -> bool:
    """Whether this process has one single thread, those of C libraries included.

    A child of ``fork`` that may find the locks of other threads held for ever is not worth the time it saves.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class _ThreadWorker:
    def __init__(self, slots: Slots, seen: SeenTable) -> None:
        self.connection, theirs = Pipe()
        self._stop = CancelToken()
        self._thread = threading.Thread(
            target=run_worker, args=(theirs, slots, seen, self._stop), name="davault-worker", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.kill()

    def kill(self) -> None:
        self._stop.cancel()
        self.connection.close()
        # One that hangs in a read of a dead network share is left behind; it can do no harm any more.
        self._thread.join(_PATIENCE)

    def how_it_ended(self) -> str:
        return "ended unexpectedly"


class _ForkedWorker:
    def __init__(self, slots: Slots, seen: SeenTable) -> None:
        self.connection, theirs = Pipe()
        self._reaping = threading.Lock()
        self._exit_code: int | None = None
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _be_forked_worker(theirs, slots, seen)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()

    def close(self) -> None:
        self.connection.close()
        self._reap()

    def kill(self) -> None:
        self.connection.close()
        with self._reaping:
            if self._exit_code is None:
                os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def how_it_ended(self) -> str:
        return _ending(self._reap())

    def _reap(self) -> int:
        """Wait for the process; its exit code, negative for a signal, and the same to all who ask."""
        with self._reaping:
            if self._exit_code is None:
                self._exit_code = 0
                with suppress(ChildProcessError):  # somebody else has waited for all children
                    self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            return self._exit_code


class _SpawnedWorker:
    def __init__(self, slots: Slots, seen: SeenTable) -> None:
        self.connection, theirs = Pipe()
        numbers = (theirs.fileno(), slots.descriptor, slots.count, slots.slot_size, seen.descriptor)
        role = _WRITES_PACKS if isinstance(slots, PackSlots) else _WRITES_FILES
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, role, *map(str, numbers)],
                pass_fds=(theirs.fileno(), slots.descriptor, seen.descriptor),
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if Path(path).is_absolute())},
                start_new_session=True,
            )
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()

    def close(self) -> None:
        self.connection.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            return _ending(self._process.wait(_PATIENCE))
        return "closed its connection"


def _ending(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "was killed (signal 9), most likely because the machine ran out of memory"
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"ended unexpectedly with exit code {exit_code}"


def _be_forked_worker(connection: Connection, slots: Slots, seen: SeenTable) -> NoReturn:
    """The life of a forked child: nothing of the parent's is run, flushed or closed properly, as it is not ours."""
    try:
        gc.freeze()  # else the collector might close, as garbage, descriptors whose numbers we use by then
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        # The parent's connections and advisory locks must end with the parent, not with us.
        low, high = sorted((connection.fileno(), slots.descriptor))
        for first, end in ((3, low), (low + 1, high), (max(3, high + 1), os.sysconf("SC_OPEN_MAX"))):
            os.closerange(first, end)
        run_worker(connection, slots, seen, CancelToken())
    except BaseException:
        os._exit(1)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """The life of a spawned worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    role, *numbers = arguments
    connection, slots, count, slot_size, seen = map(int, numbers)
    kind = PackSlots if role == _WRITES_PACKS else SlotMemory
    run_worker(
        Connection(connection),
        kind(count, slot_size, descriptor=slots),
        SeenTable(descriptor=seen),
        CancelToken(),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
