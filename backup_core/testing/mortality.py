"""A process that dies at a chosen step of its work, for good: no handler runs, no file is closed in good order.

A step is whatever changes something that outlives the process: a write or a deletion on a server, a commit of the
catalogue, a file of the home that is made, replaced or removed. The work runs in a forked process, which ends itself
with ``os._exit`` at the step asked for::

    steps = die_while(work, home=home, commits=commits).steps              # a clean run, which counts
    for point in points(steps):
        died = die_while(work, home=home, commits=commits, point=point)
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from backup_core.deferred import dataclass
from backup_core.errors import BackupError, ConnectionLost
from backup_core.storage import registry
from backup_core.storage.backend import Promises
from backup_core.storage.local import LocalBackend
from backup_core.storage.names import as_views
from backup_core.types import Buffer

DIED, REFUSED, BROKEN = 87, 86, 85
"""Exit codes: at the point asked for; with an error of this library; with another one."""

_SERVER = frozenset({"put", "delete"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


Watch = Callable[[Callable[[], object]], object]
"""Has something called before each commit of the catalogue, for as long as the process lives."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where in the work, and how."""

    at: int
    """Number of the step, from 0."""
    how: str
    """"before" the step, "halfway" through what it writes, "after" it; "unheard": done, and the answer is lost;
    "lost": the server says yes and has not done it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process ended."""

    code: int
    """0 when the work was done; else one of the codes above."""
    steps: tuple[str, ...]
    """The kind of each step that was begun, in order: "put data", "commit", "open", …"""
    said: str
    """The error, when there was one."""


def points(steps: Sequence[str]) -> Iterator[Point]:
    """All ways to die, or to be deceived, at each of these steps."""
    for at, step in enumerate(steps):
        verb = step.split()[0]
        yield Point(at, "before")
        if verb in ("put", "open"):
            yield Point(at, "halfway")
        if verb in _SERVER:
            yield from (Point(at, how) for how in ("after", "unheard", "lost"))


def die_while(work: Callable[[], object], *, home: Path, commits: Watch, point: Point | None = None) -> Ended:
    """Do the work in a process of its own, in which it dies at ``point``; all of it when that is None or not reached.

    Local directories that the work opens as storage are made to keep halves, as many servers do.
    """
    with tempfile.TemporaryFile() as told:
        pid = os.fork()
        if not pid:
            gc.freeze()  # what is there stays shared, and need not be looked through for rubbish
            os._exit(_in_child(work, _Life(home, point, told.fileno(), commits)))
        _, status = os.waitpid(pid, 0)
        told.seek(0)
        lines = told.read().decode("utf-8", "replace").splitlines()
    steps = tuple(line[1:] for line in lines if line.startswith("+"))
    return Ended(os.waitstatus_to_exitcode(status), steps, "\n".join(line for line in lines if line[:1] != "+"))


def _in_child(work: Callable[[], object], life: _Life) -> int:
    try:
        with life.watched():
            work()
    except BackupError as error:
        life.say(f"{type(error).__name__}: {error}")
        return REFUSED
    except BaseException:
        life.say(traceback.format_exc())
        return BROKEN
    return 0


class _Life:
    """Counts the steps of this process, and ends it."""

    def __init__(self, home: Path, point: Point | None, told: int, commits: Watch) -> None:
        self._commits = commits
        self._home = f"{home}{os.sep}"
        self._point = point
        self._told = told
        self._count = 0
        self._pid = os.getpid()
        self._inside = False

    def say(self, text: str) -> None:
        os.write(self._told, text.encode("utf-8", "replace") + b"\n")

    def watched(self) -> Any:
        """Everything that opens a backend, commits or writes below the home passes by here, until the process ends."""
        inner = registry.open_backend

        def open_mortal(*arguments: Any, **options: Any) -> Any:
            backend = inner(*arguments, **options)
            return MortalBackend(backend, self) if isinstance(backend, LocalBackend) else backend

        self._commits(lambda: self.step("commit"))
        sys.addaudithook(self._hear)
        return mock.patch.object(registry, "open_backend", open_mortal)

    def step(self, kind: str, halfway: Callable[[], object] = lambda: None) -> str:
        """One step is about to be done; how it is to go wrong, "" when it is not."""
        if os.getpid() != self._pid:
            return ""  # a worker process, which dies with its main process
        self.say(f"+{kind}")
        at, self._count = self._count, self._count + 1
        if self._point is None or at != self._point.at:
            return ""
        if self._point.how == "before":
            self.die()
        if self._point.how == "halfway":
            halfway()
            self.die()
        return self._point.how

    @staticmethod
    def die() -> None:
        """The end."""
        os._exit(DIED)

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._inside or os.getpid() != self._pid:
            return
        if name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and self._mine(path):
                self._inside = True
                self.step(
                    "open", lambda: os.close(os.open(path, os.O_WRONLY | flags & (os.O_CREAT | os.O_TRUNC), 0o600))
                )
                self._inside = False
        elif name in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") and self._mine(arguments[0]):
            self.step(name.removeprefix("os."))

    def _mine(self, path: Any) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self._home)


class MortalBackend:
    """A local directory as a server that promises nothing: it keeps halves, loses writes, and is not always heard."""

    def __init__(self, inner: LocalBackend, life: _Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def promises(self) -> Promises:
        return Promises(atomic_put=False, parallel_requests=1)

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        whole = b"".join(as_views(data)[0])
        half = whole[: len(whole) // 2]
        how = self._life.step(f"put {_kind_of(name)}", lambda: self._inner.put(name, half))
        self._do(how, lambda: self._inner.put(name, whole))

    def delete(self, name: str) -> None:
        how = self._life.step(f"delete {_kind_of(name)}")
        self._do(how, lambda: self._inner.delete(name))

    def _do(self, how: str, operation: Callable[[], object]) -> None:
        if how == "lost":
            return
        operation()
        if how == "after":
            self._life.die()
        if how == "unheard":
            raise ConnectionLost("the answer was lost")


def _kind_of(name: str) -> str:
    return name.partition("/")[0]
