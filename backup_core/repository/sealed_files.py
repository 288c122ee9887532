"""The small sealed files of a repository: index, snapshots and locks, each named by the hash of its bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import NamedTuple

from backup_core.errors import (
    AuthenticationFailed,
    Corrupt,
    FormatError,
    ListingUnproved,
    NotFound,
    StorageError,
    UnsupportedVersion,
)
from backup_core.format.cipher import Sealer
from backup_core.format.compression import pack_unpacked, unpack_unpacked
from backup_core.format.layout import FileKind, file_name, id_of, is_id
from backup_core.progress import CancelToken
from backup_core.repository.cache import Cache
from backup_core.repository.parallel import each
from backup_core.repository.run_journal import RunJournal
from backup_core.storage.backend import Backend

_CACHED = frozenset({FileKind.INDEX, FileKind.SNAPSHOT})


class Survey(NamedTuple):
    """The files of one kind on the server."""

    files: dict[str, int]
    """Hex id -> bytes, ascending by id."""
    proved: bool
    """False when the server's answer may be incomplete."""
    doubt: str
    """Why, for people."""
    stored_for: dict[str, timedelta]
    """Hex id -> how long the server has had it, by its own clock, of those of which it tells."""


def survey(backend: Backend, kind: FileKind) -> Survey:
    """What the server lists, and whether that is proved to be all; names that are no ids are passed over."""
    listing = backend.list(kind.value)
    files = {
        id_of(entry.name): entry.size
        for entry in sorted(listing.objects, key=lambda entry: entry.name)
        if is_id(entry.name.rpartition("/")[2])
    }
    stored_for = {
        entry.name.rpartition("/")[2]: listing.moment - entry.modified
        for entry in listing.objects
        if listing.moment is not None and entry.modified is not None
    }
    return Survey(files, listing.proved_complete, listing.doubt, stored_for)


class SealedFiles:
    """Lists, reads, writes and deletes sealed files. Safe between threads."""

    def __init__(
        self, backend: Backend, cache: Cache, journal: RunJournal, *, sealer: Callable[[], Sealer], version: int
    ) -> None:
        self._backend = backend
        self._cache = cache
        self._journal = journal
        self._sealer = sealer
        self._version = version
        self._lock = threading.Lock()
        self._bytes_written = 0
        self._seen: dict[FileKind, dict[str, int]] = {}

    @property
    def bytes_written(self) -> int:
        """Bytes of the index and snapshot files stored so far."""
        return self._bytes_written

    def survey(self, kind: FileKind) -> Survey:
        """See the function ``survey``; what was seen is remembered."""
        found = survey(self._backend, kind)
        with self._lock:
            self._seen[kind] = dict(found.files)
        return found

    def size(self, kind: FileKind, digits: str) -> int | None:
        """Bytes of one file, None when the server says that it is not there. Raises ``StorageError``."""
        try:
            return self._backend.stat(file_name(kind, digits)).size
        except NotFound:
            return None

    def last_seen(self, kind: FileKind) -> dict[str, int]:
        """Hex id -> bytes of the files of one kind when they were last listed, and of those written here since."""
        with self._lock:
            return dict(self._seen.get(kind, {}))

    def list(self, kind: FileKind, *, allow_unproved: bool = False) -> Survey:
        """Like ``survey``, but raises ``ListingUnproved`` when more may be there, unless that is allowed."""
        survey = self.survey(kind)
        if not survey.proved and not allow_unproved:
            raise ListingUnproved(
                f"the listing of {kind.value}/ at {self._backend.location} may be incomplete"
                f"{': ' + survey.doubt if survey.doubt else ''}. Try again, or look at the server's limits"
            )
        return survey

    def read(self, kind: FileKind, digits: str) -> bytes:
        """The JSON of one file, from the cache or the server. Raises ``NotFound`` or ``Corrupt``."""
        box = self._cache.load(kind, digits) if kind in _CACHED else None
        if box is None:
            box = self._backend.get(file_name(kind, digits))
            if sha256(box).hexdigest() != digits:
                raise self._damaged(kind, digits, f"its {len(box)} bytes are not the ones it was named after")
            if kind in _CACHED:
                self._cache.store(kind, digits, box)
        try:
            return unpack_unpacked(self._sealer().open(box))
        except (AuthenticationFailed, Corrupt) as error:
            raise self._damaged(kind, digits, str(error)) from error

    def read_each(
        self, kind: FileKind, ids: Iterable[str], *, ahead: int | None = None, cancel: CancelToken | None = None
    ) -> Iterator[tuple[str, bytes | StorageError | FormatError]]:
        """(hex id, JSON or what went wrong) of several files, in the given order, fetched in parallel.

        At most ``ahead`` of them are in memory.
        """
        wanted = list(ids)
        # To hand a small file that lies on this disk to a thread takes longer than to read it.
        at_hand = kind is FileKind.SNAPSHOT and set(self._cache.ids(kind)).issuperset(wanted)
        threads = 0 if at_hand else self.threads
        return each(lambda digits: self.read(kind, digits), wanted, threads=threads, ahead=ahead, cancel=cancel)

    def write(self, kind: FileKind, json: bytes) -> str:
        """Seal and store one file; its hex id. Index and snapshot files are kept in the cache as well.

        Raises ``UnsupportedVersion`` for anything but a lock in a repository of version 1, which is only read.
        """
        if self._version == 1 and kind is not FileKind.LOCK:
            raise UnsupportedVersion(
                f"the repository at {self._backend.location} has version 1 and is only read. To write to it, upgrade "
                'it first: "restic migrate upgrade_repo_v2"'
            )
        # Version 1 knows no compression: its locks are plain JSON, so that old programs can read them.
        box = self._sealer().seal(json if self._version == 1 else pack_unpacked(json))
        digits = sha256(box).hexdigest()
        name = file_name(kind, digits)
        self._journal.begin_put(name, len(box))
        self._backend.put(name, box)
        with self._lock:
            self._seen.setdefault(kind, {})[digits] = len(box)
        if kind is not FileKind.LOCK:  # a lock stays in the journal until it is deleted
            self._journal.end_put(name)
            with self._lock:
                self._bytes_written += len(box)
        if kind in _CACHED:
            self._cache.store(kind, digits, box)
        return digits

    def delete(self, kind: FileKind, digits: str) -> None:
        """Remove a file here and on the server; one that is not there is no error."""
        name = file_name(kind, digits)
        self._backend.delete(name)
        with self._lock:
            self._seen.get(kind, {}).pop(digits, None)
        self._cache.remove(kind, digits)
        self._journal.end_put(name)

    @property
    def threads(self) -> int:
        """Requests that may be under way at once."""
        return self._backend.promises.parallel_requests

    def _damaged(self, kind: FileKind, digits: str, reason: str) -> Corrupt:
        return Corrupt(
            f"the file {file_name(kind, digits)} at {self._backend.location} is damaged: {reason}",
            kind=kind.value,
            object_id=digits,
        )
