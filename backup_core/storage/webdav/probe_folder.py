"""A folder to try a server out in: made at the start, gone at the end, with plain requests in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from backup_core.clock import Clock
from backup_core.errors import StorageError, Unsupported
from backup_core.progress import CancelToken
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.listing import Folder
from backup_core.storage.webdav.multistatus import parse
from backup_core.storage.webdav.probe_body import CutOff, HalfBody
from backup_core.storage.webdav.status import SUCCESS, Reply, means_missing
from backup_core.storage.webdav.urls import Segments

_HALF = 512 * 1024
"""Bytes that are sent of an upload before it is cut."""
_LOOK_AFTER = (0.0, 0.5, 2.0)
"""Seconds after a cut at which the server is asked what it kept: some clean up, or store, a moment later."""


class TrialFolder:
    """Objects and folders by name below one folder. Answers are given as they come, unless they end all measuring."""

    def __init__(
        self,
        client: WebDAVClient,
        name: str,
        *,
        clock: Clock,
        listed: Callable[[Segments], Folder],
        cancel: CancelToken | None,
    ) -> None:
        """``listed`` gives what is in a folder, read as backups read it."""
        self._client = client
        self._clock = clock
        self._listed = listed
        self._cancel = cancel
        self._root: Segments = (*client.place.segments, name)
        self._made: list[Segments] = []

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return _shown(self._root)

    def make(self) -> None:
        """Make it, and those above it that are missing. Raises ``StorageError``."""
        for length in range(len(self._client.place.segments), 0, -1):
            if not means_missing(self._look(self._root[:length])):
                break
            self._made.insert(0, self._root[:length])
        # An empty one was left by an earlier measurement, on a server that deletes no folder there.
        missing = [*self._made] if self._is_empty() else [*self._made, self._root]
        self._made.append(self._root)
        for segments in missing:
            reply = self._client.make_folder(segments, name=_shown(segments))
            if reply.status not in SUCCESS:
                raise self.error(reply, _shown(segments))

    def remove(self) -> str:
        """Remove it, and those above it that were made. Gives the folder that stays, empty, where the server deletes
        none; "" when all are gone. Raises ``StorageError`` when something else stays."""
        while self._made:
            segments = self._made[-1]
            reply = self._client.delete_folder(segments, name=_shown(segments))
            if reply.status in (403, 405, 409) and not means_missing(reply):
                self._empty(segments)
                return _shown(segments)
            if reply.status not in SUCCESS and not means_missing(reply):
                raise self.error(reply, _shown(segments))
            self._made.pop()
        return ""

    def look(self, name: str = "") -> Reply:
        """Ask for the properties of one object, or of the folder itself."""
        return self._look(self.path(name))

    def make_folder(self, name: str) -> Reply:
        """Ask for a folder in it."""
        return self._client.make_folder(self.path(name), name=name)

    def delete_folder(self, name: str) -> Reply:
        """Ask to remove a folder in it."""
        return self._client.delete_folder(self.path(name), name=name)

    def listed(self, name: str = "") -> Folder:
        """What is in it, or in a folder in it, read as backups read it."""
        return self._listed(self.path(name))

    def one_answer(self, name: str) -> Reply:
        """The first answer to listing a folder in it, whether there are more or not."""
        return self._told(self._client.propfind(self.path(name), "1", name=name), name)

    def put(self, name: str, content: bytes, *, headers: dict[str, str] | None = None) -> Reply:
        """Store an object."""
        return self._told(
            self._client.put(self.path(name), [memoryview(content)], len(content), name=name, headers=headers), name
        )

    def get(self, name: str, *, wanted: str = "") -> tuple[int, bytes]:
        """Status and content of an object, or of the range that ``wanted`` names."""
        headers = {"Range": wanted} if wanted else {}
        with self._client.get(self.path(name), headers, name=name) as incoming:
            return incoming.status, b"".join(incoming.chunks)

    def delete(self, name: str) -> Reply:
        """Ask to remove an object."""
        return self._client.delete(self.path(name), name=name)

    def size(self, name: str) -> int | None:
        """The size of an object as the server tells it, None when it is not there."""
        reply = self.look(name)
        if means_missing(reply):
            return None
        entries = parse(reply.body) if reply.status == 207 else ()
        return entries[0].size if entries and entries[0].status < 300 else None

    def cut_upload(self, name: str) -> tuple[int | None, int | None]:
        """Upload half of an object and hang up: its size afterwards, and as seen in the middle of it."""
        seen: list[int | None] = []
        body = HalfBody(2 * _HALF, _HALF, lambda: seen.append(self.size(name)))
        with suppress(CutOff):
            self._client.put_body(self.path(name), body, name=name)
        size = None
        for pause in _LOOK_AFTER:
            self._clock.sleep(pause, self._cancel)
            size = self.size(name)
        return size, seen[0] if seen else None

    def error(self, reply: Reply, name: str) -> StorageError:
        """What an answer that is no success means."""
        return self._client.error(reply, name=name)

    def path(self, name: str) -> Segments:
        """The segments of an object or folder in it."""
        return (*self._root, *name.split("/")) if name else self._root

    def _is_empty(self) -> bool:
        """True when it is there and proved to hold nothing; one that holds something is another's."""
        if self._made or means_missing(self._look(self._root)):
            return False
        found = self._listed(self._root)
        if found.objects or found.folders or found.doubt:
            raise Unsupported(f"{self.shown} is not empty: somebody else is measuring, or remove it")
        return True

    def _empty(self, folder: Segments) -> None:
        found = self._listed(folder)
        for name in found.folders:
            self._client.delete_folder((*folder, name), name=name)
        for name in found.objects:
            self._client.delete((*folder, name), name=name)
        left = self._listed(folder)
        if left.objects or left.folders:
            raise Unsupported(f"{_shown(folder)} cannot be emptied")

    def _look(self, segments: Segments) -> Reply:
        return self._told(self._client.propfind(segments, "0", name=_shown(segments)), _shown(segments))

    def _told(self, reply: Reply, name: str) -> Reply:
        """Stop measuring a server that wants no more requests, or has forgotten the login."""
        if reply.status in (401, 429, 503):
            raise self.error(reply, name)
        return reply


def _shown(segments: Segments) -> str:
    return "/" + "/".join(segments)
