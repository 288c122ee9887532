"""What every storage backend promises: objects by name, written once, read in ranges.

Names are relative, ``/``-separated, and made of ``[0-9a-z._-]`` only (``data/3f/3f0a…``, ``config``). A backend
knows nothing of keys, packs or snapshots. All methods may be called from several threads at once. All errors are
``errors.StorageError``; retries happen inside (``storage.retry``), so an error that arrives is final for this call.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from datetime import datetime
from typing import Protocol, runtime_checkable

from backup_core.deferred import dataclass
from backup_core.types import Buffer


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it."""

    name: str
    """Full name, relative to the backend's root."""
    size: int
    """Bytes."""
    modified: datetime | None = field(default=None, compare=False)
    """When it was stored, by the clock of the place; None where that does not say."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects directly inside one directory."""

    directory: str
    objects: tuple[ObjectInfo, ...]
    directories: tuple[str, ...] = ()
    """Full names of the sub-directories."""
    exists: bool = True
    """False when the server says clearly that there is no such directory."""
    proved_complete: bool = True
    """False when the answer may be truncated; nothing destructive may follow from such a listing."""
    doubt: str = ""
    """Why it is not proved, for people."""
    moment: datetime | None = field(default=None, compare=False)
    """When this was told, by the clock that also dates the objects; None where that clock cannot be asked."""


@dataclass(frozen=True, slots=True)
class Promises:
    """What this backend is known to do. Unknown is the cautious value."""

    atomic_put: bool = False
    """An object is never visible under its final name with less than its whole content."""
    max_object_size: int | None = None
    """Bytes; None when no limit is known."""
    parallel_requests: int = 4
    """How many requests may be under way at once."""
    preferred_pack_size: int = 16 * 1024 * 1024
    """Bytes at which a pack is closed."""
    packs_in_folder: int | None = None
    """How many packs to gather in one folder before the next is begun, where making and listing folders is dear; None
    where packs may lie in all folders from the start."""


@dataclass(frozen=True, slots=True)
class Space:
    """What the server says about room, in bytes; None where it says nothing."""

    used: int | None = None
    available: int | None = None


@dataclass(slots=True)
class RequestCounter:
    """Counts what went over the wire. Safe between threads."""

    by_method: Counter[str] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0
    on_bytes: Callable[[int, int], None] | None = field(default=None, repr=False)
    """Is told of all bytes sent and received as well."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, method: str, *, up: int = 0, down: int = 0) -> None:
        """Record one request."""
        with self._lock:
            self.by_method[method] += 1
            self.bytes_up += up
            self.bytes_down += down
        if self.on_bytes is not None and (up or down):
            self.on_bytes(up, down)

    def add_bytes(self, *, up: int = 0, down: int = 0) -> None:
        """Record bytes of a request that is counted already."""
        with self._lock:
            self.bytes_up += up
            self.bytes_down += down
        if self.on_bytes is not None:
            self.on_bytes(up, down)

    @property
    def total(self) -> int:
        """All requests, retries and redirects included."""
        with self._lock:
            return sum(self.by_method.values())


class Backend(Protocol):
    """A place where objects live."""

    @property
    def location(self) -> str:
        """Where this is, for people; never with a password in it."""
        ...

    @property
    def promises(self) -> Promises:
        """What this backend is known to do, found out when it was opened."""
        ...

    @property
    def requests(self) -> RequestCounter:
        """What went over the wire so far."""
        ...

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        """Store a whole object (several buffers are stored one after the other), making directories as needed.

        Objects are immutable: putting the same name again with the same size is a success, with another size
        replaces what was there (an earlier, cut attempt). Returns only when the server said yes; an ambiguous
        answer has been settled by asking for the size.
        """
        ...

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes asked for, exactly; ``NotFound`` or ``ShortRead`` otherwise."""
        ...

    def stat(self, name: str) -> ObjectInfo:
        """Size of one object; ``NotFound`` when the server says so."""
        ...

    def list(self, directory: str) -> Listing:
        """The objects directly inside ``directory`` ("" is the root)."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def space(self) -> Space:
        """Room on the server, as far as it tells."""
        ...

    def close(self) -> None:
        """Give back connections. A closed backend is not used again."""
        ...


@runtime_checkable
class KnowsDirectories(Protocol):
    """An ability some backends have besides: they save requests when told which directories exist already."""

    def directories_exist(self, directories: Iterable[str]) -> None:
        """Say that these are there, and that neither beside them nor in them there are probably any others.

        Only a hint: a wrong one costs a request, never correctness.
        """
        ...

    def make_directories(self, directories: Iterable[str]) -> None:
        """Make these where they are missing, so that nobody has to find out later."""
        ...
