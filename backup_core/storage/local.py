"""A backend in a local (or mounted) directory, laid out and protected as restic's local backend does it.

Objects are written to a temporary file in their final directory, flushed to the disk, renamed, and made read-only;
then the directory is flushed too. So an object is either absent or whole, also after a power cut.
Layout, modes and the ``-tmp-`` mark: restic, internal/backend/local/local.go.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from backup_core.errors import (
    AccessDenied,
    ConnectionLost,
    NotFound,
    ObjectTooLarge,
    QuotaExceeded,
    ShortRead,
    StorageError,
)
from backup_core.storage.backend import Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views, check_directory, check_name, check_range
from backup_core.types import Buffer

TEMPORARY_MARK = "-tmp-"
"""Part of the name of every file that is still being written (restic uses the same)."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a full disk or account."""
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE_AWAY = {errno.ENOTCONN, errno.ETIMEDOUT, errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH}


class LocalBackend:
    """Objects as files below ``path``. The directory is made by the first ``put``."""

    def __init__(self, path: str | os.PathLike[str], *, promises: Promises | None = None) -> None:
        self._root = Path(path).absolute()
        self._promises = promises or Promises(atomic_put=True)
        self._requests = RequestCounter()

    @property
    def location(self) -> str:
        return str(self._root)

    @property
    def promises(self) -> Promises:
        return self._promises

    @property
    def requests(self) -> RequestCounter:
        return self._requests

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        path = self._path(name)
        views, size = as_views(data)
        self._requests.add("PUT", up=size)
        file_mode, directory_mode = self._modes()
        with _translated(name):
            _make_directories(path.parent, directory_mode)
            _write_whole(path, views, file_mode)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        check_range(offset, length)
        path = self._path(name)
        with _translated(name), path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            wanted = size - offset if length is None else length
            content = _read_at(file.fileno(), offset, max(wanted, 0))
        self._requests.add("GET", down=len(content))
        if len(content) != wanted:
            raise ShortRead(
                f"{path} has {size} bytes, {wanted} were asked for from byte {offset} on", key=name, transient=False
            )
        return content

    def stat(self, name: str) -> ObjectInfo:
        path = self._path(name)
        self._requests.add("STAT")
        with _translated(name):
            if not path.is_dir():
                return ObjectInfo(name, path.stat().st_size)
        raise NotFound(f"{path} is a directory, not an object", key=name)

    def list(self, directory: str) -> Listing:
        check_directory(directory)
        self._requests.add("LIST")
        prefix = f"{directory}/" if directory else ""
        objects: list[ObjectInfo] = []
        directories: list[str] = []
        try:
            with _translated(directory), os.scandir(self._root / directory) as entries:
                for entry in entries:
                    if entry.is_dir():
                        directories.append(prefix + entry.name)
                    elif TEMPORARY_MARK not in entry.name:
                        with suppress(FileNotFoundError):  # removed since the directory was read
                            objects.append(ObjectInfo(prefix + entry.name, entry.stat().st_size))
        except NotFound:
            return Listing(directory, (), exists=False)
        return Listing(directory, tuple(sorted(objects, key=lambda o: o.name)), tuple(sorted(directories)))

    def delete(self, name: str) -> None:
        path = self._path(name)
        self._requests.add("DELETE")
        with _translated(name):
            path.unlink(missing_ok=True)

    def space(self) -> Space:
        nearest = next((path for path in (self._root, *self._root.parents) if path.exists()), self._root)
        with _translated(""):
            usage = shutil.disk_usage(nearest)
        return Space(used=usage.used, available=usage.free)

    def close(self) -> None:
        """Nothing is kept open between calls."""

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _modes(self) -> tuple[int, int]:
        """Modes of new files and directories: shared with the group when the repository's config already is."""
        try:
            shared = bool((self._root / "config").stat().st_mode & 0o040)
        except OSError:
            shared = False
        return (0o440, 0o770) if shared else (0o400, 0o700)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what the operating system says into this library's errors."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error, name) from error


def _storage_error(error: OSError, name: str) -> StorageError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return NotFound(f"there is no object {name}: {error}", key=name)
    if error.errno in NO_ROOM:
        return QuotaExceeded(f"no room left for {name}: {error}. Free space on that disk", key=name)
    if error.errno in _NO_RIGHT:
        return AccessDenied(f"not allowed to use {name}: {error}. Check owner, rights and mount options", key=name)
    if error.errno == errno.EFBIG:
        return ObjectTooLarge(f"the file system takes no file of this size: {error}. Choose smaller packs", key=name)
    if error.errno in _GONE_AWAY:
        return ConnectionLost(f"the mounted file system does not answer: {error}", key=name)
    return StorageError(f"{name or 'the directory'} cannot be used: {error}", key=name)


def _make_directories(directory: Path, mode: int) -> None:
    if directory.is_dir():
        return
    _make_directories(directory.parent, mode)
    try:
        directory.mkdir(mode=mode)
    except FileExistsError:
        return  # another thread or program was faster
    directory.chmod(mode)  # the umask may have taken bits away
    _flush_directory(directory.parent)


def _write_whole(path: Path, views: Sequence[memoryview], mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}{TEMPORARY_MARK}", dir=path.parent)
    try:
        try:
            _write_all(descriptor, views)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _flush_directory(path.parent)


def _write_all(descriptor: int, views: Sequence[memoryview]) -> None:
    for view in views:
        left = view
        while len(left):
            left = left[os.write(descriptor, left) :]


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    content = os.pread(descriptor, length, offset)
    if len(content) == length or not content:
        return content
    parts = [content]  # one read gives at most 2 GiB, and fewer bytes on some network file systems
    while content:
        done = sum(map(len, parts))
        content = os.pread(descriptor, length - done, offset + done)
        parts.append(content)
    return b"".join(parts)


def _flush_directory(directory: Path) -> None:
    """Make a rename or mkdir last. Some network file systems cannot; the data itself is flushed already."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
