"""A server with a quota: it tells how much room is left, and refuses what does not fit, as HTTP 507 does."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from backup_core.errors import NotFound, QuotaExceeded
from backup_core.storage.backend import Backend, Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views
from backup_core.types import Buffer


class LimitedBackend:
    """Hands everything on to ``inner`` as long as the objects put through it fit into ``quota`` bytes."""

    def __init__(self, inner: Backend, quota: int, *, used: int = 0) -> None:
        """``used`` bytes lie in ``inner`` already."""
        self.inner = inner
        self.quota = quota
        self.used = used
        self.refused = 0
        """How often something did not fit."""
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def promises(self) -> Promises:
        return self.inner.promises

    @property
    def requests(self) -> RequestCounter:
        return self.inner.requests

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        size = as_views(data)[1]
        with self._lock:
            grown = self.used + size - self._size(name)
            if grown > self.quota:
                self.refused += 1
                raise QuotaExceeded(f"PUT {name}: the server says 507. Its space is used up", key=name)
            self.inner.put(name, data)
            self.used = grown

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return self.inner.get(name, offset=offset, length=length)

    def stat(self, name: str) -> ObjectInfo:
        return self.inner.stat(name)

    def list(self, directory: str) -> Listing:
        return self.inner.list(directory)

    def delete(self, name: str) -> None:
        with self._lock:
            self.used -= self._size(name)
            self.inner.delete(name)

    def space(self) -> Space:
        return Space(used=self.used, available=max(0, self.quota - self.used))

    def close(self) -> None:
        self.inner.close()

    def _size(self, name: str) -> int:
        try:
            return self.inner.stat(name).size
        except NotFound:
            return 0
