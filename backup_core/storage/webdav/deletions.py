"""Deleting, also where a provider may only pretend to.

A provider that blocks an account for asking too often may answer DELETE with success and delete nothing. No request
after each one is needed to notice that: an account that gets good answers before and after was not blocked between.
So a deletion is believed once a later request got such an answer, and looked into when one was refused instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from backup_core.errors import Cancelled, ServerFailure, StorageError
from backup_core.progress import CancelToken
from backup_core.storage.request_budget import is_urgent
from backup_core.storage.retry import Retrier
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.multistatus import parse
from backup_core.storage.webdav.status import Reply, means_missing
from backup_core.storage.webdav.urls import Segments

_LOG = logging.getLogger(__name__)
MOST_UNPROVED = 50
"""Deletions after which a request is spent on finding out whether they took effect."""
_DELETED = frozenset({200, 202, 204})


class Deletions:
    """The deletions of one backend. Safe between threads."""

    def __init__(
        self,
        client: WebDAVClient,
        retrier: Retrier,
        *,
        remaining: Callable[[Segments], Iterable[str]],
        watched: bool,
        cancel: CancelToken | None,
    ) -> None:
        """``remaining`` names what a folder really holds. ``watched`` is for servers that block accounts."""
        self._client = client
        self._retrier = retrier
        self._remaining = remaining
        self._watched = watched
        self._cancel = cancel
        self._lock = threading.Lock()
        self._settling = threading.RLock()
        self._counter = 0
        self._unproved: dict[Segments, int] = {}
        self._doubted: set[Segments] = set()

    def delete(self, segments: Segments) -> None:
        """Delete one object; one that is not there is no error."""
        # What is urgent, or deleted after cancelling, is tidying up that nothing rests upon.
        watched = self._watched and not is_urgent() and not self._is_cancelled
        if watched:
            self._settle_before(segments)
        self._delete(segments)
        if watched:
            with self._lock:
                self._counter += 1
                self._unproved[segments] = self._counter

    def begin(self) -> int:
        """Called before each request; a number for ``answered``."""
        with self._lock:
            self._counter += 1
            return self._counter

    def answered(self, begun: int) -> None:
        """A request that began at ``begun`` got an answer that a blocked account does not get."""
        with self._lock:
            if self._unproved:
                self._unproved = {s: at for s, at in self._unproved.items() if at > begun}

    def refused(self) -> None:
        """The account is blocked: what was not proved yet may not have happened."""
        with self._lock:
            self._doubted |= set(self._unproved)
            self._unproved.clear()

    def settle(self) -> None:
        """Make certain of all deletions so far, deleting again what is still there. Raises ``StorageError``."""
        with self._settling:
            while self._unproved or self._doubted:
                with self._lock:
                    doubted, self._doubted = self._doubted, set()
                if doubted:
                    self._look_into(doubted)
                else:
                    self._retrier.call(self._prove)

    def close(self) -> None:
        """Make certain of all deletions, or say which remain uncertain: when that fails, or the caller cancelled."""
        if not self._is_cancelled:
            try:
                self.settle()
            except (StorageError, Cancelled) as error:
                _LOG.warning("whether deleting took effect cannot be found out: %s", error)
        with self._lock:
            names = sorted(_shown(segments) for segments in self._doubted)
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            _LOG.warning("deleted while the account was blocked, may still be there: %s%s", ", ".join(names[:10]), more)

    @property
    def _is_cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.cancelled

    def _settle_before(self, segments: Segments) -> None:
        """Deleting in one part of the repository may rest upon what was deleted in another one before: an index file
        that stays while its packs go makes later backups rely on packs that are gone."""
        depth = len(self._client.place.segments) + 1
        with self._lock:
            elsewhere = any(other[:depth] != segments[:depth] for other in self._unproved)
            due = elsewhere or self._doubted or len(self._unproved) >= MOST_UNPROVED
        if due:
            self.settle()

    def _delete(self, segments: Segments) -> None:
        name = self._name(segments)

        def once() -> None:
            reply = self._client.delete(segments, name=name)
            if reply.status == 207:
                self._refuse_failed_parts(reply, name)
            elif not (reply.status in _DELETED and not reply.is_web_page) and not means_missing(reply):
                raise self._client.error(reply, name=name)

        self._retrier.call(once, also_cancelled=True)

    def _refuse_failed_parts(self, reply: Reply, name: str) -> None:
        failed = [entry for entry in parse(reply.body) if entry.status >= 300 and entry.status not in (404, 410)]
        if failed:
            raise self._client.error(Reply(reply.method, failed[0].status, reply.headers, reply.body), name=name)

    def _prove(self) -> None:
        """Get one good answer, which tells ``answered`` by itself."""
        reply = self._client.propfind(self._client.place.segments, "0", name="")
        if means_missing(reply):  # a blocked account is told so of anything
            raise ServerFailure("the server hides the folder that things were just deleted in")
        if not 200 <= reply.status < 300:
            raise self._client.error(reply, name="")

    def _look_into(self, doubted: set[Segments]) -> None:
        left = set(doubted)
        try:
            for folder in sorted({segments[:-1] for segments in doubted}):
                names = set(self._remaining(folder))
                for segments in sorted(s for s in doubted if s[:-1] == folder):
                    if segments[-1] in names:
                        _LOG.warning("%s had not been deleted though the provider said so", self._name(segments))
                        self._delete(segments)
                        with self._lock:
                            self._counter += 1
                            self._unproved[segments] = self._counter
                    left.discard(segments)
        finally:
            with self._lock:
                self._doubted |= left

    def _name(self, segments: Segments) -> str:
        return "/".join(segments[len(self._client.place.segments) :])


def _shown(segments: Segments) -> str:
    return "/" + "/".join(segments)
