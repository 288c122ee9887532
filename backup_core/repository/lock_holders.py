"""Who holds a lock, and whether anybody still does: the judgement on the lock files of others."""

from __future__ import annotations

from datetime import datetime, timedelta

from backup_core.deferred import dataclass
from backup_core.format.lock_file import STALE_AFTER, LockFile
from backup_core.repository.processes import process_alive
from backup_core.types import LockId


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock of somebody else, as found in the repository."""

    id: LockId
    file: LockFile | None
    """None when the file cannot be read."""
    why_stale: str
    """Why nobody holds it any more, for people; "" when somebody may."""
    dated: bool = False
    """Whether the server tells since when it has had the file."""

    @property
    def stale(self) -> bool:
        """Whether its holder is gone."""
        return bool(self.why_stale)

    @property
    def is_remnant(self) -> bool:
        """Half a file that nobody will complete: whoever began to write it never held the lock."""
        return self.file is None and self.stale

    def describe(self, now: datetime) -> str:
        """Who holds it and since when, for people."""
        if self.file is None:
            return f"the lock {self.id[:8]} cannot be read"
        age = _rounded(max(timedelta(0), now - self.file.time))
        who = f"{self.file.username or 'somebody'} on {self.file.hostname or 'an unnamed machine'}"
        kind = "exclusively locked" if self.file.exclusive else "locked"
        return f"{kind} by {who} (process {self.file.pid}), last renewed {age} ago"

    @property
    def advice(self) -> str:
        """What to do about it when it is in the way."""
        if self.stale:
            return f"Nobody holds it any more ({self.why_stale}): remove it with unlock"
        if self.file is not None:
            return "Wait until it is done, then try again"
        if self.dated:
            minutes = round(STALE_AFTER.total_seconds() / 60)
            return f"Its writer may be at work. It counts for nothing once the server has had it for {minutes} minutes"
        return "If no program is using the repository, remove it with unlock --all"


def judged(lock: LockId, file: LockFile | None, *, now: datetime, hostname: str, stored: timedelta | None) -> Holder:
    """What to think of a lock.

    ``stored`` is how long the server has had it by its own clock, None where it does not tell. Clocks of machines may
    be hours apart, and what removes a living lock costs backups: so a lock is stale when it is too old by *every* clock
    that can be asked. Only one that was written in the future proves that the other machine's clock cannot be compared
    with ours; then the server's alone counts.
    """
    return Holder(lock, file, _why_stale(file, now, hostname, stored), dated=stored is not None)


def _why_stale(file: LockFile | None, now: datetime, hostname: str, stored: timedelta | None) -> str:
    old_there = stored is None or stored > STALE_AFTER
    if file is None:
        return f"it is half a file, which the server has had for {_rounded(stored)}" if stored and old_there else ""
    if hostname and file.hostname == hostname and not process_alive(file.pid):
        return f"process {file.pid} of this machine has ended"
    silent = now - file.time
    if silent < timedelta(0) and stored:
        silent = stored
    return f"it was not renewed for {_rounded(silent)}" if silent > STALE_AFTER and old_there else ""


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))
