"""Every error the library raises, as one tree.

    BackupError
    ├── StorageError(key, transient)      a server or a disk said no
    │   ├── NotFound  AlreadyExists  AccessDenied  QuotaExceeded  ObjectTooLarge
    │   ├── RateLimited(until)  ShortRead  ConnectionLost  LockedByServer  Unsupported
    │   └── AmbiguousReply                nobody knows whether the request was carried out
    ├── FormatError                       bytes that are not what the format says
    │   ├── UnsupportedVersion  Corrupt(kind, object_id)  AuthenticationFailed
    ├── RepositoryError
    │   ├── NotARepository  RepositoryExists  WrongKey  BlobMissing(blob)  IndexIncomplete
    │   ├── ListingUnproved  LockHeld(holder)  LockLost
    ├── SourceError(path)
    ├── RestoreError(path)                UnsafePath  TargetNotEmpty
    ├── ConfigError(problems)
    ├── CatalogueError
    ├── CleanupHeld                       a run looked wrong; nothing is removed until a person has looked
    ├── BackupExecutionError              the original system's name: a backup could not go on
    └── Cancelled                         the caller asked to stop

A message names the object and the next step. Whether trying again can help is the field ``transient``;
retrying itself lives in one place (``storage.retry``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class BackupError(Exception):
    """Root of all errors raised on purpose by this library."""

    transient: bool = False
    """True when the same act, tried again later, may succeed without anybody changing anything."""


class StorageError(BackupError):
    """A storage backend could not do what was asked of it."""

    def __init__(self, message: str, *, key: str = "", transient: bool | None = None) -> None:
        super().__init__(message)
        self.key = key
        if transient is not None:
            self.transient = transient


class NotFound(StorageError):
    """The object does not exist."""


class AlreadyExists(StorageError):
    """The object exists already and was not replaced."""


class AccessDenied(StorageError):
    """The account may not do this: wrong or expired password, missing right, read-only server."""


class QuotaExceeded(StorageError):
    """The account's space or monthly traffic is used up."""


class ObjectTooLarge(StorageError):
    """The server refuses objects of this size."""


class RateLimited(StorageError):
    """The server asks for fewer requests; ``until`` tells when it may be asked again, if it said so."""

    transient = True

    def __init__(self, message: str, *, key: str = "", until: datetime | None = None) -> None:
        super().__init__(message, key=key)
        self.until = until


class ShortRead(StorageError):
    """Fewer (or other) bytes came than were asked for."""

    transient = True


class ConnectionLost(StorageError):
    """The connection could not be made, broke, or stalled."""

    transient = True


class ServerFailure(StorageError):
    """The server reports a fault of its own (HTTP 5xx other than the named ones)."""

    transient = True


class AmbiguousReply(StorageError):
    """The request was sent, and no answer tells whether it was carried out."""

    transient = True


class LockedByServer(StorageError):
    """The server holds its own lock on the object (HTTP 423)."""

    transient = True


class Unsupported(StorageError):
    """The server does not know this verb or answers in a way that cannot be used."""


class FormatError(BackupError):
    """Bytes that are not what the repository format says they must be."""


class UnsupportedVersion(FormatError):
    """Written in a version of the format that this program does not know."""


class Corrupt(FormatError):
    """An object is damaged: truncated, changed, or not what its name says."""

    def __init__(self, message: str, *, kind: str = "", object_id: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.object_id = object_id


class AuthenticationFailed(FormatError):
    """A sealed box does not carry the right authentication tag: wrong key or changed bytes."""


class RepositoryError(BackupError):
    """The repository as a whole cannot be used as asked."""


class NotARepository(RepositoryError):
    """There is no repository at this place."""


class RepositoryExists(RepositoryError):
    """There is a repository, or something that looks like one, where a new one was to be made."""


class WrongKey(RepositoryError):
    """None of the repository's keys opens with this password."""


class BlobMissing(RepositoryError):
    """A blob that is needed is in no index."""

    def __init__(self, message: str, *, blob: str = "") -> None:
        super().__init__(message)
        self.blob = blob


class IndexIncomplete(RepositoryError):
    """An index file cannot be read, so nobody knows all that the repository holds."""


class ListingUnproved(RepositoryError):
    """A listing could not be proved complete, and the act at hand must not trust it."""


class LockHeld(RepositoryError):
    """Somebody else holds a lock that excludes ours; ``holder`` says who and since when."""

    transient = True

    def __init__(self, message: str, *, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


class LockLost(RepositoryError):
    """Our own lock could not be kept alive, so writing had to stop."""

    transient = True


class SourceError(BackupError):
    """Something of the source cannot be read."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class RestoreError(BackupError):
    """A restore cannot go on."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class UnsafePath(RestoreError):
    """The repository names a path that would lie outside the target."""


class TargetNotEmpty(RestoreError):
    """The target holds files that must not be touched."""


class ConfigError(BackupError):
    """A configuration or an argument is wrong; ``problems`` lists every fault found, not only the first."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  - {p}" for p in problems)]) if problems else message)
        self.problems = tuple(problems)


class CatalogueError(BackupError):
    """The catalogue database cannot be used."""


class CleanupHeld(BackupError):
    """A run looked like a disaster, so nothing is forgotten or pruned until a person releases the hold."""


class BackupExecutionError(BackupError):
    """A backup could not be carried out; the cause is chained."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class Cancelled(BackupError):
    """The caller asked to stop; what was stored so far stays and is reused."""
