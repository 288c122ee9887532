"""What became of each entry of a restore; written by several threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from enum import Enum

from backup_core.engine.restore_entry import Action
from backup_core.engine.restore_plan import RestorePlan
from backup_core.errors import Cancelled
from backup_core.format.ids import to_hex
from backup_core.progress import ProgressTracker
from backup_core.results import Problem, Severity
from backup_core.types import PackId

_WRITTEN = (Action.CREATE, Action.REPLACE)
_TOLD_AT_ONCE = 32
"""Entries whose progress is told together, and the last of them named: to tell each would take longer than some do."""
_TOLD_BYTES = 1024 * 1024


class Stop(Enum):
    """Why a restore ended before its time."""

    CANCELLED = "cancelled"
    NO_ROOM = "the target takes no more"
    NO_SERVER = "the server does not answer"


class Ledger:
    """Counts, failures and problems of one run. Safe between threads."""

    def __init__(self, plan: RestorePlan, progress: ProgressTracker) -> None:
        self._plan = plan
        self._progress = progress
        self._lock = threading.Lock()
        self._failed: dict[int, str] = {}
        self._packs: dict[PackId, tuple[str, set[int]]] = {}
        self._problems: list[Problem] = []
        self._done = bytearray(len(plan.entries))
        self._untold_files = self._untold_bytes = 0
        self.written = 0
        """Entries written."""
        self.bytes_written = 0
        """Logical bytes of them."""
        self.verified = 0
        """Files read back and found right."""
        self.stop: Stop | None = None
        self.stop_reason = ""

    def finished(self, number: int) -> None:
        """An entry stands at the target under its name."""
        self.all_finished((number,))

    def all_finished(self, numbers: Sequence[int]) -> None:
        """Entries stand at the target under their names."""
        entries = self._plan.entries
        with self._lock:
            for number in numbers:
                entry = entries[number]
                self._done[number] = True
                self.bytes_written += entry.size if entry.writes_content else 0
            self.written += len(numbers)
            self._untold_files += len(numbers)
            due = self._untold_files >= _TOLD_AT_ONCE
        if due:
            self.tell(self._plan.shown(numbers[-1]) if numbers else "")

    def put(self, size: int) -> None:
        """So many bytes of content have been dealt with."""
        with self._lock:
            self._untold_bytes += size
            due = self._untold_bytes >= _TOLD_BYTES
        if due:
            self.tell()

    def tell(self, path: str = "") -> None:
        """Show the progress that was not shown yet."""
        with self._lock:
            files, size = self._untold_files, self._untold_bytes
            self._untold_files = self._untold_bytes = 0
        self._progress.advance(files=files, bytes_=size, path=path)

    def fail(self, number: int, reason: str) -> None:
        """An entry cannot be restored. The first reason counts."""
        with self._lock:
            self._failed.setdefault(number, reason)

    def fail_for_pack(self, number: int, pack: PackId, reason: str) -> None:
        """A file cannot be restored because of a pack."""
        self.fail(number, reason)
        with self._lock:
            self._packs.setdefault(pack, (reason, set()))[1].add(number)

    def has_failed(self, number: int) -> bool:
        """True once an entry was said to fail."""
        return number in self._failed

    def warn(self, kind: str, number: int, told: Iterable[str]) -> None:
        """Things that went wrong with an entry which is there all the same."""
        for sentence in told:
            shown = self._plan.shown(number)
            with self._lock:
                self._problems.append(Problem(kind, f"{shown}: {sentence}", shown))

    def add(self, problem: Problem) -> None:
        """Take note of a problem that concerns no single entry."""
        with self._lock:
            self._problems.append(problem)

    def stop_because(self, stop: Stop, reason: str) -> None:
        """Ask everybody to end. The first reason counts."""
        with self._lock:
            if self.stop is None:
                self.stop, self.stop_reason = stop, reason

    def failures(self) -> dict[str, str]:
        """Printable path -> reason, of all that the plan had given up, that failed, or that was not reached."""
        told = dict(self._plan.unreadable)
        not_reached = self.stop_reason if self.stop not in (None, Stop.CANCELLED) else ""
        for number, entry in enumerate(self._plan.entries):
            reason = self._failed.get(number, "")
            if entry.action is Action.FAIL:
                reason = reason or entry.reason
            elif entry.action in _WRITTEN and entry.type != "dir" and not self._done[number]:
                reason = reason or not_reached
            if reason:
                told[self._plan.shown(number)] = reason
        return told

    def problems(self) -> tuple[Problem, ...]:
        """The plan's problems and this run's, one for each damaged pack among them."""
        packs = [
            Problem(
                "damaged-pack",
                f"because of the pack {to_hex(pack)[:16]}, {len(files)} files could not be restored, first "
                f"{self._plan.shown(min(files))}: {reason}",
                object_id=to_hex(pack),
                severity=Severity.ERROR,
            )
            for pack, (reason, files) in self._packs.items()
        ]
        return (*self._plan.problems, *packs, *self._problems)


class Gate:
    """Stands before everything that is written: once closed, nobody is inside, and nobody comes in.

    So a cancelled restore can leave a thread waiting for its server without fearing what it does afterwards.
    Passed as ``with gate:``, which raises ``Cancelled`` when it is closed.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._condition:
            if self._closed:
                raise Cancelled("the restore has ended")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._inside -= 1
            if not self._inside and self._closed:
                self._condition.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait for those inside (they write one blob at most)."""
        with self._condition:
            self._closed = True
            while self._inside:
                self._condition.wait()
