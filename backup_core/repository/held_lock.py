"""A lock that this process holds: renewed in the background, and looked after before what others rely on is written."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Protocol

from backup_core.clock import Clock
from backup_core.errors import BackupError, Cancelled, LockLost, RepositoryError, StorageError
from backup_core.progress import CancelToken
from backup_core.storage.request_budget import urgently
from backup_core.types import LockId

REFRESH_SECONDS = 5 * 60.0
RETRY_SECONDS = 60.0
"""After a renewal that failed."""

LOST_SECONDS = 22.5 * 60.0
"""Without a successful renewal for so long, writing stops: others may take the lock for stale after 30 minutes."""

SEEN_SECONDS = 60.0
"""For so long after it was seen on the server, a lock is believed to be still there."""


class LockPlace(Protocol):
    """What a held lock asks of ``locks.Locks``."""

    def write(self, *, exclusive: bool) -> LockId:
        """Write a lock of this process, dated now."""
        ...

    def remove(self, lock: LockId) -> None:
        """Delete a lock file; one that is not there is no error."""
        ...

    def require_present(self, own: LockId) -> None:
        """Raise ``LockLost`` when the server no longer has it."""
        ...

    def replace_stale(self, own: LockId, *, exclusive: bool) -> LockId:
        """Renew a lock that was not renewed for long. Raises ``LockLost`` when that is not right."""
        ...


class HeldLock:
    """A lock that this process holds and renews in the background until it is released."""

    def __init__(
        self, locks: LockPlace, own: LockId, *, exclusive: bool, clock: Clock, cancel: CancelToken | None = None
    ) -> None:
        self.exclusive = exclusive
        self._locks = locks
        self._own = own
        self._clock = clock
        self._cancel = cancel
        self._lock = threading.Lock()
        self._failure: BackupError | None = None
        self._lost: LockLost | None = None
        self._note_renewal()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="davault-lock", daemon=True)
        self._thread.start()

    @property
    def id(self) -> LockId:
        """The present lock file; it changes with every renewal."""
        return self._own

    def ensure_held(self) -> None:
        """Raise ``LockLost`` unless the lock was renewed lately enough to rely on. Called before writes that count.

        One that excludes others is looked at on the server besides, once a minute: what is written or removed under it
        is only right while nobody else is at work.
        """
        with self._lock:
            self._ensure(look=self.exclusive)

    def confirm(self) -> None:
        """Raise ``LockLost`` unless the lock is on the server, where it is looked at unless that was done within the
        last minute. Around the writing of what says that all else is there. Raises ``StorageError``.

        Somebody whose clock is hours ahead may have taken a living lock for a dead one, and pruned.
        """
        with self._lock:
            self._ensure(look=True)

    def raise_if_lost(self, error: Cancelled) -> None:
        """Give the loss of the lock as the reason, when that is why the work was cancelled. Raises ``LockLost``."""
        if self._lost is not None:
            raise self._lost from error

    def refresh(self) -> None:
        """Renew the lock now: write a new file, then remove the old one. Raises ``StorageError``, ``LockLost``."""
        with self._lock:
            if self._lost is None:
                self._refresh()

    def release(self) -> None:
        """Give the lock back. A lock file that cannot be deleted now is deleted by the next run on this machine."""
        self._released.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock, urgently(), suppress(StorageError, Cancelled):
            self._locks.remove(self._own)

    def tend(self) -> float:
        """One turn of the background thread: renew if it is time. Returns the seconds until the next turn."""
        with self._lock:
            if self._lost is not None:
                return REFRESH_SECONDS
            try:
                if self._silent_seconds() > LOST_SECONDS:
                    self._revive()
                else:
                    self._refresh()
            except LockLost as error:
                self._lose(error)
            except (StorageError, RepositoryError) as error:
                self._failure = error
                return RETRY_SECONDS
            return REFRESH_SECONDS

    def _keep_alive(self) -> None:
        seconds = REFRESH_SECONDS
        while not self._released.wait(seconds):
            seconds = self.tend()

    def _ensure(self, *, look: bool) -> None:
        if self._lost is None and self._silent_seconds() > LOST_SECONDS:
            self._revive()
        if self._lost is None and look and self._since(self._seen) > SEEN_SECONDS:
            self._look()
        if self._lost is not None:
            raise self._lost

    def _look(self) -> None:
        moment = self._moment()
        try:
            with urgently():
                self._locks.require_present(self._own)
            self._seen = moment
        except LockLost as error:
            self._lose(error)

    def _refresh(self) -> None:
        with urgently():  # a lock that waits for a provider's request window is lost before the window opens
            # A new one beside that of somebody who took this one for dead would hide that there were two at work.
            self._locks.require_present(self._own)
            fresh = self._locks.write(exclusive=self.exclusive)
            old, self._own = self._own, fresh
            self._note_renewal()
            self._locks.remove(old)

    def _revive(self) -> None:
        try:
            with urgently():
                self._own = self._locks.replace_stale(self._own, exclusive=self.exclusive)
            self._note_renewal()
        except (StorageError, RepositoryError) as error:
            minutes = round(self._silent_seconds() / 60)
            cause = self._failure or error
            lost = LockLost(
                f"our lock on the repository could not be renewed for {minutes} minutes ({cause}), so writing stops. "
                "What was stored is kept and reused: start again"
            )
            lost.__cause__ = error
            self._lose(lost)

    def _lose(self, error: LockLost) -> None:
        self._lost = error
        if self._cancel is not None:
            self._cancel.cancel(str(error))

    def _note_renewal(self) -> None:
        self._failure = None
        self._renewed = self._seen = self._moment()

    def _moment(self) -> tuple[float, float]:
        return self._clock.monotonic(), self._clock.now().timestamp()

    def _silent_seconds(self) -> float:
        return self._since(self._renewed)

    def _since(self, moment: tuple[float, float]) -> float:
        """Seconds. The wall clock counts too: the other one stands still while a machine sleeps."""
        return max(now - then for now, then in zip(self._moment(), moment, strict=True))
