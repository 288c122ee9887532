"""Locks: files in the repository by which all programs that use it agree on who may do what at the same time.

The rules are restic's (its design document, "Locks"). Any number may hold a shared lock, or one alone an exclusive one.
To lock: look at all locks, write one's own, wait, look again, and withdraw if somebody else came in between; for a
shared lock, which stands in nobody's way who holds one, the second look alone will do and saves a request. A lock is
renewed every five minutes; one that was not renewed for half an hour, or whose process is gone from this machine, is
stale (``lock_holders`` judges). Stale locks are named in the error and only removed on demand, but for shared ones that
a week has gone by, and for halves of files that nobody will complete: whoever began them never held a lock.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

from backup_core.clock import Clock
from backup_core.errors import Corrupt, LockHeld, LockLost, NotFound, StorageError
from backup_core.format.layout import FileKind
from backup_core.format.lock_file import LockFile
from backup_core.progress import CancelToken
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.lock_holders import Holder, judged
from backup_core.repository.sealed_files import SealedFiles
from backup_core.types import LockId

_LOG = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
"""Between writing a lock and looking again."""

RETIRED_AFTER_DAYS = 7
"""Age of shared locks of dead programs that are removed without being asked for; others need ``unlock``."""

_READ_ATTEMPTS = 3

Meanwhile: TypeAlias = Callable[[float], None]
"""What is done while a lock does not count yet, until a moment of the clock's ``monotonic``. It must have nothing to do
with the repository."""


class Locks:
    """Takes, looks at and removes locks of one repository."""

    def __init__(self, files: SealedFiles, clock: Clock, *, hostname: str, username: str, location: str) -> None:
        self._files = files
        self._clock = clock
        self._hostname = hostname
        self._username = username
        self._location = location

    def acquire(
        self, *, exclusive: bool = False, cancel: CancelToken | None = None, meanwhile: Meanwhile | None = None
    ) -> HeldLock:
        """Lock the repository, without waiting for others.

        ``meanwhile`` is called when the wait begins.
        Raises ``LockHeld`` when somebody holds a lock that excludes this one, ``ListingUnproved`` when that cannot be
        known, ``LockLost`` when the server has not kept it. ``cancel`` is set when the lock is lost later on.
        """
        if exclusive:
            # Others who come meanwhile would meet this lock, so it is not even written where it must be withdrawn.
            self._refuse_if_held(exclusive=True, own=frozenset())
        try:
            own = self.write(exclusive=exclusive)
        except StorageError:
            self._refuse_if_held(exclusive=exclusive, own=frozenset())  # the better reason, if there is one
            raise
        try:
            self._wait(cancel, meanwhile)
            others = self._refuse_if_held(exclusive=exclusive, own=frozenset({own}))
        except BaseException:
            with suppress(StorageError):  # the journal still names it, so the next run removes it
                self._files.delete(FileKind.LOCK, own)
            raise
        self._retire(others)
        return HeldLock(self, own, exclusive=exclusive, clock=self._clock, cancel=cancel)

    def _wait(self, cancel: CancelToken | None, meanwhile: Meanwhile | None) -> None:
        left = WAIT_SECONDS
        if meanwhile is not None:
            end = self._clock.monotonic() + WAIT_SECONDS
            meanwhile(end)
            left = end - self._clock.monotonic()
        self._clock.sleep(max(0.0, left), cancel)

    def holders(self, *, own: frozenset[LockId] = frozenset()) -> list[Holder]:
        """All locks but ``own``. Files of no length are leftovers of interrupted uploads and count as none.

        Raises ``ListingUnproved`` when there may be more, ``LockLost`` when one of ``own`` is not there.
        """
        now = self._clock.now()
        found = []
        survey = self._files.list(FileKind.LOCK)
        for lock in own.difference(survey.files):
            self.require_present(lock)  # a listing may lag behind
        for digits, size in survey.files.items():
            lock = LockId(digits)
            if lock in own or not size:
                continue
            with suppress(NotFound):  # given back since the directory was read
                file, stored = self._read(lock), survey.stored_for.get(digits)
                found.append(judged(lock, file, now=now, hostname=self._hostname, stored=stored))
        return found

    def unlock(self, *, remove_all: bool = False) -> dict[LockId, str]:
        """Remove stale locks, or all of them; the ids removed, each with the reason.

        ``remove_all`` also takes the locks of running programs and those that cannot be read: only for when nothing
        else uses the repository.
        """
        going = [holder for holder in self.holders() if holder.stale or remove_all]
        for holder in going:
            self._break(holder)
        return {holder.id: _why_broken(holder) for holder in going}

    def _break(self, holder: Holder) -> None:
        self._files.delete(FileKind.LOCK, holder.id)
        described = holder.describe(self._clock.now())
        _LOG.warning("removed the lock %s (%s): %s", holder.id[:8], described, _why_broken(holder))

    def write(self, *, exclusive: bool) -> LockId:
        """Write a lock of this process, dated now."""
        file = LockFile(
            time=self._clock.now(),
            exclusive=exclusive,
            hostname=self._hostname,
            username=self._username,
            pid=os.getpid(),
            uid=os.getuid() if hasattr(os, "getuid") else 0,
            gid=os.getgid() if hasattr(os, "getgid") else 0,
        )
        return LockId(self._files.write(FileKind.LOCK, file.encode()))

    def remove(self, lock: LockId) -> None:
        """Delete a lock file; one that is not there is no error."""
        self._files.delete(FileKind.LOCK, lock)

    def replace_stale(self, own: LockId, *, exclusive: bool) -> LockId:
        """Renew a lock that was not renewed for long, as after the machine slept.

        That is only right when nobody removed it meanwhile: then nobody can have taken an exclusive lock. Raises
        ``LockLost`` otherwise.
        """
        self.require_present(own)
        fresh = self.write(exclusive=exclusive)
        try:
            self._clock.sleep(WAIT_SECONDS)
            self._refuse_if_held(exclusive=exclusive, own=frozenset({own, fresh}))
        except BaseException:
            with suppress(StorageError):  # the journal still names it, so the next run removes it
                self.remove(fresh)
            raise
        self.remove(own)
        return fresh

    def require_present(self, own: LockId) -> None:
        """Raise ``LockLost`` when the server no longer has a lock of ours: others may have removed what we rely on."""
        if self._files.size(FileKind.LOCK, own) is None:
            raise LockLost(
                f"our lock on the repository at {self._location} was removed by somebody, or lost by the server, so "
                "writing stops. What was stored is kept and reused: start again"
            )

    def _retire(self, others: Sequence[Holder]) -> None:
        """Remove shared locks that nobody renewed for a week, and remnants: each costs a request in every run."""
        oldest = self._clock.now() - timedelta(days=RETIRED_AFTER_DAYS)
        for holder in others:
            file = holder.file
            forgotten = file is not None and holder.stale and not file.exclusive and file.time < oldest
            if forgotten or holder.is_remnant:
                with suppress(StorageError):
                    self._break(holder)

    def _refuse_if_held(self, *, exclusive: bool, own: frozenset[LockId]) -> list[Holder]:
        """All locks but ``own``, none of which excludes us. Raises ``LockHeld`` when one does."""
        found = self.holders(own=own)
        blocking = [h for h in found if not h.is_remnant and (exclusive or h.file is None or h.file.exclusive)]
        if not blocking:
            return found
        now = self._clock.now()
        first = next((holder for holder in blocking if not holder.stale), blocking[0])
        others = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
        described = first.describe(now)
        raise LockHeld(f"the repository at {self._location}: {described}{others}. {first.advice}", holder=described)

    def _read(self, lock: LockId) -> LockFile | None:
        for attempt in range(_READ_ATTEMPTS):
            if attempt:
                self._clock.sleep(WAIT_SECONDS)  # its writer may be in the middle of it
            try:
                return LockFile.decode(self._files.read(FileKind.LOCK, lock))
            except Corrupt:
                continue
        return None


def _why_broken(holder: Holder) -> str:
    return holder.why_stale or "all locks were to be removed"
