"""A backend for everything that an fsspec file system reaches: S3 and other object stores, SFTP, SMB and so on."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import fsspec

from backup_core.clock import Clock
from backup_core.errors import (
    AccessDenied,
    ConfigError,
    ConnectionLost,
    NotFound,
    QuotaExceeded,
    ShortRead,
    StorageError,
)
from backup_core.progress import CancelToken
from backup_core.storage.backend import Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.local import NO_ROOM
from backup_core.storage.names import as_views, check_directory, check_name, check_range, parent_of
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import OnWait, Random, Retrier, evenly, silently
from backup_core.storage.schemes import OBJECT_STORES
from backup_core.types import Buffer, Secret

Result = TypeVar("Result")

_LOGIN_WORDS = {"s3": ("key", "secret"), "s3a": ("key", "secret"), "oss": ("key", "secret"),
                "az": ("account_name", "account_key"), "abfs": ("account_name", "account_key"),
                "abfss": ("account_name", "account_key")}  # fmt: skip
_PLAIN_LOGIN_WORDS = ("username", "password")


def open_fsspec(
    url: str,
    *,
    username: str,
    password: Secret | None,
    options: BackendOptions,
    clock: Clock,
    random: Random = evenly,
    cancel: CancelToken | None = None,
    on_wait: OnWait = silently,
) -> FsspecBackend:
    """The backend for an address such as ``s3://bucket/folder``; name and password go where that service wants them.

    Raises ``ConfigError`` when the package for this kind of storage is not installed or refuses its options, and
    ``StorageError`` for a server that cannot be reached, where the file system connects at once.
    """
    scheme = url.partition("://")[0].lower()
    user_word, password_word = _LOGIN_WORDS.get(scheme, _PLAIN_LOGIN_WORDS)
    login = {user_word: username} if username else {}
    if password:
        login[password_word] = password.reveal()
    try:
        file_system, path = fsspec.core.url_to_fs(
            url, use_listings_cache=False, skip_instance_cache=True, **login, **dict(options.storage_options)
        )
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(f"{scheme}:// cannot be opened: {error}") from error
    except OSError as error:  # some file systems connect right away
        raise _storage_error(error, url) from error
    return FsspecBackend(
        file_system,
        str(path),
        location=url,
        promises=Promises(
            atomic_put=scheme in OBJECT_STORES if options.atomic_put is None else options.atomic_put,
            max_object_size=options.max_object_size,
            parallel_requests=options.parallel_requests or 4,
            preferred_pack_size=options.preferred_pack_size or Promises().preferred_pack_size,
        ),
        retrier=Retrier(options.retry, clock=clock, random=random, cancel=cancel, on_wait=on_wait),
        makes_directories=scheme not in OBJECT_STORES,
    )


class FsspecBackend:
    """Objects below ``root`` of an fsspec file system. Requests are counted by call, not by what it sends."""

    def __init__(
        self,
        file_system: Any,
        root: str,
        *,
        location: str,
        promises: Promises,
        retrier: Retrier,
        makes_directories: bool,
    ) -> None:
        self._files = file_system
        self._root = root.rstrip("/")
        self._location = location
        self._promises = promises
        self._retrier = retrier
        self._makes_directories = makes_directories
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._requests = RequestCounter()

    @property
    def location(self) -> str:
        return self._location

    @property
    def promises(self) -> Promises:
        return self._promises

    @property
    def requests(self) -> RequestCounter:
        return self._requests

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        path = self._path(check_name(name))
        content = b"".join(as_views(data)[0])

        def once() -> None:
            self._make_directory(parent_of(path))
            self._requests.add("PUT", up=len(content))
            self._files.pipe_file(path, content)

        self._call(once, name)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        path = self._path(check_name(name))
        check_range(offset, length)
        if length == 0:
            return b""

        def once() -> bytes:
            end = None if length is None else offset + length
            if offset and end is None:
                end = self._checked_end(name, offset, None)
            self._requests.add("GET")
            content = self._bytes(name, path, offset, end) if end != offset else b""
            self._requests.add_bytes(down=len(content))
            if end is not None and len(content) != end - offset:
                self._checked_end(name, offset, length)
                raise ShortRead(f"{name}: {len(content)} bytes came instead of {end - offset}", key=name)
            return content

        return self._call(once, name)

    def stat(self, name: str) -> ObjectInfo:
        path = self._path(check_name(name))

        def once() -> ObjectInfo:
            self._requests.add("STAT")
            self._files.invalidate_cache(parent_of(path))
            info = self._files.info(path)
            if info["type"] == "directory":
                raise NotFound(f"{name} is a directory, not an object", key=name)
            return ObjectInfo(name, int(info["size"]))

        return self._call(once, name)

    def list(self, directory: str) -> Listing:
        path = self._path(check_directory(directory))
        prefix = f"{directory}/" if directory else ""

        def once() -> Listing:
            self._requests.add("LIST")
            self._files.invalidate_cache(path)
            try:
                entries = self._files.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return Listing(directory, (), exists=False)
            objects, directories = [], []
            for entry in entries:
                if str(entry["name"]).strip("/") == path.strip("/"):
                    continue  # some stores keep a marker for the directory itself
                shown = prefix + str(entry["name"]).rstrip("/").rpartition("/")[2]
                if entry["type"] == "directory":
                    directories.append(shown)
                else:
                    objects.append(ObjectInfo(shown, int(entry["size"])))
            return Listing(directory, tuple(sorted(objects, key=lambda o: o.name)), tuple(sorted(directories)))

        return self._call(once, directory)

    def delete(self, name: str) -> None:
        path = self._path(check_name(name))

        def once() -> None:
            self._requests.add("DELETE")
            try:
                self._files.rm_file(path)
            except FileNotFoundError:
                return

        self._call(once, name, also_cancelled=True)

    def space(self) -> Space:
        return Space()

    def close(self) -> None:
        """Connections belong to fsspec, which closes them when the file system is forgotten."""
        with self._lock:
            self._made.clear()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _bytes(self, name: str, path: str, offset: int, end: int | None) -> bytes:
        try:
            return bytes(self._files.cat_file(path, start=offset or None, end=end))
        except OSError as error:
            if error.errno == errno.EINVAL and end is not None:  # S3's word for a range behind the end
                self._checked_end(name, offset, end - offset)
            raise

    def _checked_end(self, name: str, offset: int, length: int | None) -> int:
        """Where the range ends; a final ``ShortRead`` when the object is too short for it."""
        size = self.stat(name).size
        end = size if length is None else offset + length
        if offset > size or end > size:
            raise ShortRead(f"{name} has {size} bytes, {offset} to {end} were asked for", key=name, transient=False)
        return end

    def _make_directory(self, path: str) -> None:
        if not self._makes_directories:
            return
        with self._lock:
            if path in self._made:
                return
            self._requests.add("MKDIR")
            self._files.makedirs(path, exist_ok=True)
            self._made.add(path)

    def _call(self, operation: Callable[[], Result], name: str, *, also_cancelled: bool = False) -> Result:
        def once() -> Result:
            try:
                return operation()
            except StorageError:
                raise
            except Exception as error:
                raise _storage_error(error, name) from error

        return self._retrier.call(once, also_cancelled=also_cancelled)


def _storage_error(error: Exception, name: str) -> StorageError:
    said = f"{name or '/'}: {error or type(error).__name__}"
    if isinstance(error, FileNotFoundError):
        return NotFound(f"there is no object {said}", key=name)
    if isinstance(error, PermissionError):
        return AccessDenied(f"{said}. Check name, password and rights", key=name)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return QuotaExceeded(f"{said}. Free some space", key=name)
    if isinstance(error, ConnectionError | TimeoutError | EOFError):
        return ConnectionLost(said, key=name)
    return StorageError(said, key=name)
