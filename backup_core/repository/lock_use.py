"""The one lock that an open repository holds, shared by all parts of a piece of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from backup_core.errors import AccessDenied, Cancelled, QuotaExceeded, RepositoryError
from backup_core.progress import CancelToken
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.lock_holders import Holder
from backup_core.repository.locks import Locks, Meanwhile
from backup_core.results import Problem, Severity
from backup_core.types import LockId


class LockUse:
    """Takes the lock for the first who needs it and gives it back after the last. Safe between threads."""

    def __init__(
        self, locks: Locks, *, location: str, clear_up: Callable[[], object], make_room: Callable[[], bool]
    ) -> None:
        """``clear_up`` removes what broken runs of this machine left; called only while no lock is held.

        ``make_room`` frees a little of a full server, and says whether there was anything to free.
        """
        self._make_room = make_room
        self._locks = locks
        self._location = location
        self._clear_up = clear_up
        self._mutex = threading.RLock()
        self._held: HeldLock | None = None
        self._users = 0

    @contextmanager
    def hold(
        self, *, exclusive: bool, cancel: CancelToken | None, meanwhile: Meanwhile | None = None
    ) -> Iterator[HeldLock]:
        """See ``Repository.lock``."""
        with self._mutex:
            if self._held is None:
                self._clear_up()
                self._held = self._acquire(exclusive=exclusive, cancel=cancel, meanwhile=meanwhile)
            elif exclusive and not self._held.exclusive:
                raise RepositoryError("an exclusive lock cannot be had while this process holds a shared one")
            held = self._held
            self._users += 1
        try:
            yield held
        except Cancelled as error:
            held.raise_if_lost(error)
            raise
        finally:
            with self._mutex:
                self._users -= 1
                if not self._users:
                    self._held = None
                    held.release()

    def _acquire(self, *, exclusive: bool, cancel: CancelToken | None, meanwhile: Meanwhile | None) -> HeldLock:
        try:
            return self._locks.acquire(exclusive=exclusive, cancel=cancel, meanwhile=meanwhile)
        except QuotaExceeded:
            # Whoever wants to be alone wants to remove something: that must be possible on a full server.
            if not exclusive or not self._make_room():
                raise
            return self._locks.acquire(exclusive=exclusive, cancel=cancel)

    @contextmanager
    def hold_for_reading(
        self, *, problems: list[Problem] | None, cancel: CancelToken | None
    ) -> Iterator[HeldLock | None]:
        """See ``Repository.lock_for_reading``."""
        with ExitStack() as stack:
            held: HeldLock | None = None
            try:
                held = stack.enter_context(self.hold(exclusive=False, cancel=cancel))
            except (AccessDenied, QuotaExceeded) as error:
                if problems is not None:
                    text = f"read without a lock, since {self._location} takes none: {error}"
                    problems.append(Problem("no-lock", text, severity=Severity.HINT))
            yield held

    def holders(self) -> list[Holder]:
        """See ``Repository.lock_holders``."""
        own = frozenset() if self._held is None else frozenset({self._held.id})
        return self._locks.holders(own=own)

    def unlock(self, *, remove_all: bool) -> dict[LockId, str]:
        """See ``Repository.unlock``."""
        with self._mutex:
            if self._held is None:
                self._clear_up()
        return self._locks.unlock(remove_all=remove_all)

    def require(self, purpose: str, *, exclusive: bool = False) -> HeldLock:
        """The lock held, made sure of. Raises ``RepositoryError`` without one, ``LockLost`` when it is gone."""
        held = self._held
        if held is None or (exclusive and not held.exclusive):
            kind = "an exclusive" if exclusive else "a"
            raise RepositoryError(f"to {purpose}, {kind} lock on the repository is needed: use lock()")
        held.ensure_held()
        return held
