"""Which folders exist: learned from listings, from what was made, and from hints; missing ones are made.

A PUT into a missing folder is refused only after its whole body was sent, and a request that asks costs as much as one
that makes. So what is known is remembered, and what is probably missing is made without asking.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from backup_core.errors import StorageError
from backup_core.storage.retry import Retrier
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.multistatus import parse
from backup_core.storage.webdav.status import Reply, means_missing
from backup_core.storage.webdav.urls import Segments

_MADE = frozenset({200, 201, 204})
_THERE_ALREADY = frozenset({301, 302, 307, 308, 405})


class Directories:
    """Knowledge about the folders of one account. Safe between threads."""

    def __init__(self, client: WebDAVClient, retrier: Retrier) -> None:
        self._client = client
        self._retrier = retrier
        self._lock = threading.RLock()
        self._making = threading.Lock()
        self._known: set[Segments] = set()
        self._missing: set[Segments] = set()
        self._overseen: set[Segments] = set()  # folders of which all children are known
        self._hinted: set[Segments] = set()  # known by hearsay only

    def exists(self, segments: Segments) -> bool | None:
        """True or False when that is known or likely, None when nothing is known."""
        with self._lock:
            if not segments or segments in self._known:
                return True
            if segments in self._missing or segments[:-1] in self._overseen or self.exists(segments[:-1]) is False:
                return False
            return None

    def learn(self, segments: Segments, children: Iterable[str], *, complete: bool) -> None:
        """Note that a folder exists with these sub-folders; ``complete`` when these are all."""
        with self._lock:
            self._add(segments)
            self._hinted.discard(segments)
            below = {(*segments, child) for child in children}
            self._known |= below
            self._missing -= below
            if complete:
                self._overseen.add(segments)

    def learn_missing(self, segments: Segments) -> None:
        """Note that a folder does not exist, nor anything below it."""
        with self._lock:
            self._known = {known for known in self._known if known[: len(segments)] != segments}
            self._overseen = {known for known in self._overseen if known[: len(segments)] != segments}
            self._missing.add(segments)

    def expect(self, folders: Iterable[Segments]) -> None:
        """Take a hint: these exist, and beside and in them probably no others."""
        with self._lock:
            for segments in folders:
                if segments not in self._known:
                    self._hinted.add(segments)
                self._add(segments)
                self._overseen |= {segments[:-1], segments}

    def forget(self, segments: Segments) -> None:
        """A server contradicts what was known of this folder and those above it."""
        with self._lock:
            for length in range(len(segments) + 1):
                self._known.discard(segments[:length])
                self._overseen.discard(segments[:length])
                self._missing.discard(segments[:length])
                self._hinted.discard(segments[:length])

    def make(self, segments: Segments, *, slash: bool = True) -> None:
        """Make a folder and those above it, as far as they are missing. One that is there already is no error.

        ``slash`` False leaves out the trailing slash: a last resort for servers that take it amiss.
        """
        with self._making:
            self._make(segments, slash=slash)

    def _make(self, segments: Segments, *, slash: bool) -> None:
        if not segments or self.exists(segments):
            return
        if self.exists(segments[:-1]) is False:
            self._make(segments[:-1], slash=slash)
        reply = self._request(segments, slash=slash)
        if means_missing(reply) and (not self.exists(segments[:-1]) or segments[:-1] in self._hinted):
            self.forget(segments[:-1])
            self._make(segments[:-1], slash=slash)
            reply = self._request(segments, slash=slash)
        if reply.status in _MADE:
            self.learn(segments, (), complete=True)
        elif reply.status in _THERE_ALREADY or self._is_there(segments):
            self.learn(segments, (), complete=False)
        else:
            raise self._error(reply, segments)

    def _request(self, segments: Segments, *, slash: bool) -> Reply:
        def once() -> Reply:
            reply = self._client.make_folder(segments, name=_shown(segments), slash=slash)
            if reply.status in _MADE and not reply.is_web_page:
                return reply
            error = self._error(reply, segments)
            if error.transient:
                raise error
            return reply

        return self._retrier.call(once)

    def _is_there(self, segments: Segments) -> bool:
        """Some servers refuse to make what exists with 403 or 409, like what cannot be made: so look."""

        def once() -> bool:
            reply = self._client.propfind(segments, "0", name=_shown(segments))
            if reply.status == 207:
                return any(entry.is_collection for entry in parse(reply.body))
            error = self._error(reply, segments)
            if error.transient:
                raise error
            return False

        return self._retrier.call(once)

    def _add(self, segments: Segments) -> None:
        chain = {segments[:length] for length in range(len(segments) + 1)}
        self._known |= chain
        self._missing -= chain

    def _error(self, reply: Reply, segments: Segments) -> StorageError:
        return self._client.error(reply, name=_shown(segments))


def _shown(segments: Segments) -> str:
    return "/" + "/".join(segments)
