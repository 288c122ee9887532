"""A backend in memory, for tests and trials: the same calls always give the same answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from backup_core.clock import Clock
from backup_core.errors import NotFound, ShortRead
from backup_core.storage.backend import Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views, check_directory, check_name, check_range, parent_of
from backup_core.types import Buffer

__all__ = ["MemoryBackend"]


class MemoryBackend:
    """Objects in a dictionary. ``objects`` may be looked at, and changed to play damage, at any time.

    Requests are counted as PUT, GET, STAT, LIST and DELETE, one for each call.
    """

    def __init__(self, name: str = "", *, promises: Promises | None = None, clock: Clock | None = None) -> None:
        """``clock`` is the server's own, which dates what is stored; without it nothing is dated."""
        self.objects: dict[str, bytes] = {}
        self._name = name
        self._promises = promises or Promises(atomic_put=True)
        self._requests = RequestCounter()
        self._lock = threading.Lock()
        self._clock = clock
        self._modified: dict[str, datetime] = {}

    @property
    def location(self) -> str:
        return f"memory://{self._name}"

    @property
    def promises(self) -> Promises:
        return self._promises

    @property
    def requests(self) -> RequestCounter:
        return self._requests

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        check_name(name)
        views, size = as_views(data)
        content = b"".join(views)
        self._requests.add("PUT", up=size)
        with self._lock:
            self.objects[name] = content
            if self._clock is not None:
                self._modified[name] = self._clock.now()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        check_name(name)
        check_range(offset, length)
        content = self._content("GET", name)
        end = len(content) if length is None else offset + length
        if offset > len(content) or end > len(content):
            raise ShortRead(f"{name} has {len(content)} bytes, asked for {offset} to {end}", key=name)
        part = content[offset:end]
        self._requests.add("GET", down=len(part))
        return part

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        content = self._content("STAT", name)
        self._requests.add("STAT")
        return ObjectInfo(name, len(content))

    def list(self, directory: str) -> Listing:
        check_directory(directory)
        self._requests.add("LIST")
        prefix = f"{directory}/" if directory else ""
        with self._lock:
            below = [(name, len(content)) for name, content in self.objects.items() if name.startswith(prefix)]
        objects = tuple(
            ObjectInfo(name, size, self._modified.get(name))
            for name, size in sorted(below)
            if parent_of(name) == directory
        )
        children = {prefix + name[len(prefix) :].split("/", 1)[0] for name, _ in below if parent_of(name) != directory}
        moment = self._clock.now() if self._clock is not None else None
        exists = bool(below) or not directory
        return Listing(directory, objects, tuple(sorted(children)), exists=exists, moment=moment)

    def delete(self, name: str) -> None:
        check_name(name)
        self._requests.add("DELETE")
        with self._lock:
            self.objects.pop(name, None)

    def space(self) -> Space:
        with self._lock:
            return Space(used=sum(len(content) for content in self.objects.values()))

    def close(self) -> None:
        """Nothing to give back; the objects stay."""

    def _content(self, method: str, name: str) -> bytes:
        with self._lock:
            content = self.objects.get(name)
        if content is None:
            self._requests.add(method)
            raise NotFound(f"there is no object {name}", key=name)
        return content
