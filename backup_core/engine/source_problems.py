"""What is wrong with single files of a source, collected while the backup goes on."""

from __future__ import annotations

import errno
import os

from backup_core.engine.messages import FileOutcome
from backup_core.engine.restore_layout import printable
from backup_core.results import Problem, Severity

_MOST = 1000
"""More problems than anybody reads, and few enough to keep."""


class SourceProblems:
    """Problems of one run; after the first thousand they are only counted."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._more = 0

    def all(self) -> tuple[Problem, ...]:
        """What was collected."""
        if not self._more:
            return tuple(self._problems)
        rest = Problem("more", f"{self._more} more problems like these are not listed")
        return (*self._problems, rest)

    def add(self, problem: Problem) -> None:
        """Any problem."""
        if len(self._problems) < _MOST:
            self._problems.append(problem)
        else:
            self._more += 1

    def unreadable(self, path: bytes, error: OSError, *, directory: bool = False) -> None:
        """An entry that cannot be read, or is gone."""
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            self.vanished(path)
            return
        what = "the directory" if directory else "the file"
        self._note("unreadable", path, f"{what} {{}} cannot be read ({_reason(error)}) and was left out")

    def vanished(self, path: bytes) -> None:
        """An entry that was there when its directory was listed, and then not."""
        self._note("vanished", path, "{} vanished while the backup was running and was left out")

    def changed(self, path: bytes) -> None:
        """A file that did not stand still."""
        self._note(
            "changed",
            path,
            "{} was being written while it was read, twice; what was read was kept, and the next backup looks again",
        )

    def unsettled(self, path: bytes, reason: str) -> None:
        """A database that could not be copied in a consistent state."""
        self._note(
            "unsettled",
            path,
            f"the SQLite database {{}} could not be copied in a consistent state ({reason}); it was kept as it was "
            "read, which may not be usable if it was being written",
        )

    def attributes(self, path: bytes, error: OSError) -> None:
        """Extended attributes that cannot be read."""
        self._note("attributes", path, f"the attributes of {{}} cannot be read ({_reason(error)}) and were left out")

    def not_stored(self, path: bytes, outcome: FileOutcome) -> None:
        """A file that a worker could not store."""
        if outcome.status == "vanished":
            self.vanished(path)
        elif outcome.status == "irregular":
            self._note("changed", path, "{} was replaced by something that is no file while the backup was running")
        else:
            self._note("unreadable", path, f"the file {{}} cannot be read ({outcome.reason}) and was left out")

    def _note(self, kind: str, path: bytes, message: str) -> None:
        shown = printable(path)
        # No str.format: the reason of the system may hold braces too.
        self.add(Problem(kind, message.replace("{}", shown, 1), path=shown, severity=Severity.WARNING))


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or errno.EIO)
