"""Putting one immutable object: one request in the usual case, and no blind trust in an unclear answer.

Whether the server carried out a request whose answer was lost is settled by asking for the object's size before
anything is sent again. That a name exists proves nothing: most servers leave a cut upload under its final name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backup_core.errors import AmbiguousReply, ConnectionLost, ServerFailure, StorageError
from backup_core.storage.retry import Retrier
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.directories import Directories
from backup_core.storage.webdav.status import SUCCESS, Reply, means_missing
from backup_core.storage.webdav.urls import Segments

MOST_CUT_UPLOADS = 8
"""Uploads of one object that may break while the server answers everything else."""
MOST_ROUNDS_FOR_FOLDER = 5
_FIRST_PAUSE_FOR_FOLDER = 0.5
"""Seconds: some servers need a moment until a new folder can be written to."""


class Upload:
    """One object on its way; ``run`` once."""

    def __init__(
        self,
        client: WebDAVClient,
        directories: Directories,
        retrier: Retrier,
        *,
        name: str,
        segments: Segments,
        views: Sequence[memoryview],
        size: int,
        stored_size: Callable[[], int | None],
    ) -> None:
        """``size``: bytes of all ``views``; ``stored_size`` asks the server for the object's size, None when it is not
        there or has none."""
        self._client = client
        self._directories = directories
        self._retrier = retrier
        self._name = name
        self._segments = segments
        self._views = views
        self._size = size
        self._stored_size = stored_size
        self._is_unclear = False
        self._cut = 0

    def run(self) -> None:
        """Return once the server holds the object; raises the ``StorageError`` that stands in the way."""
        self._retrier.call(self._once)

    def _once(self) -> None:
        if self._is_unclear:
            if self._stored_size() == self._size:
                return
            self._count_cut_upload()
            self._is_unclear = False
        try:
            reply = self._send()
        except AmbiguousReply:
            self._is_unclear = True
            raise
        if not _is_stored(reply):
            raise self._refused(reply)

    def _send(self) -> Reply:
        """Send the object, making its folder when that is what the server misses."""
        folder = self._segments[:-1]
        reply = self._client.put(self._segments, self._views, self._size, name=self._name)
        for rounds in range(MOST_ROUNDS_FOR_FOLDER):
            known = self._directories.exists(folder)
            if not (means_missing(reply) or (reply.status == 500 and not known)):
                break
            if rounds:
                self._retrier.pause(_FIRST_PAUSE_FOR_FOLDER * 2.0 ** (rounds - 1), "for a new folder to appear")
            if reply.status != 500:
                self._directories.forget(folder)
            # From the third round on the folder was made or found, and still the server does not see it.
            self._directories.make(folder, slash=rounds < 2)
            reply = self._client.put(self._segments, self._views, self._size, name=self._name)
        return reply

    def _refused(self, reply: Reply) -> StorageError:
        error = self._client.error(reply, name=self._name)
        if 200 <= reply.status < 300 or isinstance(error, (AmbiguousReply, ServerFailure)):
            self._is_unclear = True
        if means_missing(reply):
            error.args = (f"{error} The folder was made, but nothing can be put into it: choose another one.",)
        return AmbiguousReply(str(error), key=self._name) if 200 <= reply.status < 300 else error

    def _count_cut_upload(self) -> None:
        """Give up when uploads keep breaking though the server is there: waiting would not help."""
        self._cut += 1
        if self._cut >= MOST_CUT_UPLOADS:
            raise ConnectionLost(
                f"PUT {self._name}: the server answers, but {self._cut} uploads of {self._size} bytes broke. "
                "A proxy on the way may limit size or time: choose a smaller pack size",
                key=self._name,
                transient=False,
            )


def _is_stored(reply: Reply) -> bool:
    """201 and 204 say so; a 200 with a web page says that somebody else answered."""
    return reply.status in SUCCESS and not (reply.status == 200 and reply.is_web_page)
