"""A backend that writes down what is asked of it, for tests that care about order and number of operations."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from backup_core.deferred import dataclass
from backup_core.storage.backend import Backend, Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views
from backup_core.types import Buffer


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, in the order in which it was finished."""

    verb: str
    """"put", "get", "stat", "list" or "delete"."""
    name: str
    size: int = 0
    """Bytes stored or read."""
    error: str = ""
    """Class name of the error that came out, "" when none did."""

    @property
    def changes(self) -> bool:
        """True for operations that alter what is stored."""
        return self.verb in ("put", "delete") and not self.error


class RecordingBackend:
    """Hands every call on to ``inner`` and keeps a list of them in ``operations``."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.operations: list[Operation] = []
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

    def names(self, *verbs: str) -> list[str]:
        """The names used with these verbs (all when none is given), oldest first."""
        with self._lock:
            return [o.name for o in self.operations if not verbs or o.verb in verbs]

    def clear(self) -> None:
        """Forget what was written down so far."""
        with self._lock:
            self.operations.clear()

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        size = as_views(data)[1]
        try:
            self.inner.put(name, data)
        except BaseException as error:
            self._note("put", name, error=error)
            raise
        self._note("put", name, size)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        try:
            content = self.inner.get(name, offset=offset, length=length)
        except BaseException as error:
            self._note("get", name, error=error)
            raise
        self._note("get", name, len(content))
        return content

    def stat(self, name: str) -> ObjectInfo:
        try:
            info = self.inner.stat(name)
        except BaseException as error:
            self._note("stat", name, error=error)
            raise
        self._note("stat", name)
        return info

    def list(self, directory: str) -> Listing:
        try:
            listing = self.inner.list(directory)
        except BaseException as error:
            self._note("list", directory, error=error)
            raise
        self._note("list", directory)
        return listing

    def delete(self, name: str) -> None:
        try:
            self.inner.delete(name)
        except BaseException as error:
            self._note("delete", name, error=error)
            raise
        self._note("delete", name)

    def space(self) -> Space:
        return self.inner.space()

    def close(self) -> None:
        self.inner.close()

    def _note(self, verb: str, name: str, size: int = 0, *, error: BaseException | None = None) -> None:
        with self._lock:
            self.operations.append(Operation(verb, name, size, type(error).__name__ if error else ""))
