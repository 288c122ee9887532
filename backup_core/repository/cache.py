"""Local copies of what was fetched from (or sent to) a repository. Disposable, at any moment.

::

    <root>/CACHEDIR.TAG                     keeps the cache out of backups
    <root>/hints/<sha256 of config>/<key>   key files that opened this repository before
    <root>/hints/<repository id>            the name of that directory
    <root>/<repository id>/index|snapshots/<id>     sealed, as on the server
    <root>/<repository id>/data/xx/<id>     whole tree packs, sealed
    <root>/<repository id>/trees/xx/<id>    single sealed tree blobs of packs that were not fetched whole
    <root>/<repository id>/segments/        the merged index
    <root>/<repository id>/runs/            journals of runs
    <root>/<repository id>/ledgers/         what was remembered of the last backups' trees, sealed
    <root>/<repository id>/parity/<id>      packs that get parity soon
    <root>/<repository id>/parity-headers/  what parity objects say of themselves
    <root>/<repository id>/tmp/             files being written

Nothing in here is trusted: files named by their SHA-256 are hashed when read, parts of packs carry their own
authentication and are hashed as blobs by whoever asked. Writing goes through a temporary name, so that processes can
share a cache. That a copy cannot be written never fails the work at hand; ``problems`` tells of it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Container, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from backup_core.errors import RepositoryError
from backup_core.format.ids import to_hex
from backup_core.format.layout import FileKind, is_id
from backup_core.repository.processes import process_alive
from backup_core.results import Problem, Severity
from backup_core.types import BlobId, Buffer, PackId

_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Copies of backup data, see https://bford.info/cachedir/\n"
_DIRECTORY_MODE = 0o700
_HINTS = "hints"


class Cache:
    """The part of the cache that belongs to one repository. Safe between threads and processes."""

    def __init__(self, root: Path | None, repository_id: str) -> None:
        """``root`` None means a temporary directory that ``close`` removes.

        Raises ``RepositoryError`` when the directory cannot be made.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="davault-cache-") if root is None else None
        base = Path(self._temporary.name) if self._temporary else prepare_root(root)
        self._directory = base / repository_id
        self._scratch = self._directory / "tmp"
        self._pack_directory = str(self._directory / FileKind.PACK.value)
        self._lock = threading.Lock()
        self._problem: Problem | None = None
        self._remove_leftovers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The first failure to write a copy, if there was one."""
        return (self._problem,) if self._problem else ()

    def directory(self, name: str) -> Path:
        """A sub-directory for files that their owner looks after, made if absent. Raises ``RepositoryError``."""
        path = self._directory / name
        try:
            _make_directory(path)
        except OSError as error:
            raise RepositoryError(
                f"the local cache {path} cannot be written ({error}): free space or choose another home directory"
            ) from error
        return path

    def place_for_packs(self) -> Path | None:
        """A directory for packs that are not uploaded yet; None where nothing can be written."""
        with suppress(OSError):
            _make_directory(self._scratch)
            return self._scratch
        return None

    def load(self, kind: FileKind, digits: str) -> bytes | None:
        """A copy that is what its name says; None when there is none (a damaged one is removed)."""
        path = self._path(kind.value, digits)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if sha256(data).hexdigest() == digits:
            return data
        _remove(path)
        return None

    def store(self, kind: FileKind, digits: str, data: Buffer) -> None:
        """Keep a copy of a file of the repository."""
        self._write(self._path(kind.value, digits), data)

    def remove(self, kind: FileKind, digits: str) -> None:
        """Drop a copy; one that is not there is no error."""
        _remove(self._path(kind.value, digits))

    def ids(self, kind: FileKind) -> list[str]:
        """Ids of the copies of one kind, ascending."""
        return sorted(path.name for path in _files(self._directory / kind.value))

    def keep_only(self, kind: FileKind, wanted: Container[str]) -> None:
        """Drop every copy of this kind whose id is not among ``wanted``."""
        for path in list(_files(self._directory / kind.value)):
            if path.name not in wanted:
                _remove(path)

    def keep_for_parity(self, pack: PackId, data: Buffer) -> None:
        """Keep a copy of a pack until it has parity, so that it need not be fetched for that."""
        self._write(self.directory("parity") / to_hex(pack), data)

    def load_pack_range(self, pack: PackId, offset: int, length: int) -> bytes | None:
        """A part of a pack kept whole, unverified; None when there is none."""
        digits = to_hex(pack)
        try:
            # Once for every directory of a backup that is compared with: no path objects.
            descriptor = os.open(f"{self._pack_directory}/{digits[:2]}/{digits}", os.O_RDONLY)
            try:
                data = os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        return data if len(data) == length else None

    def load_tree(self, tree: BlobId) -> bytes | None:
        """A single sealed tree blob, unverified; None when there is none."""
        try:
            return self._path("trees", to_hex(tree)).read_bytes()
        except OSError:
            return None

    def store_tree(self, tree: BlobId, box: Buffer) -> None:
        """Keep a single sealed tree blob."""
        self._write(self._path("trees", to_hex(tree)), box)

    def drop_tree(self, tree: BlobId, pack: PackId) -> None:
        """Forget copies of a tree, because what they gave was not that tree."""
        _remove(self._path("trees", to_hex(tree)))
        _remove(self._path(FileKind.PACK.value, to_hex(pack)))

    def close(self) -> None:
        """Remove the directory if it was a temporary one."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def note_failure(self, error: Exception) -> None:
        """Remember that something could not be written."""
        with self._lock:
            self._problem = self._problem or Problem(
                "cache",
                f"the local cache {self._directory} cannot be written ({error}); work goes on, slower",
                severity=Severity.HINT,
            )

    def _path(self, kind: str, digits: str) -> Path:
        parent = self._directory / kind
        return parent / digits[:2] / digits if kind in (FileKind.PACK.value, "trees") else parent / digits

    def _remove_leftovers(self) -> None:
        """Remove what killed processes were writing; the names begin with their process numbers."""
        for path in list(_files(self._scratch)):
            owner = path.name.partition("-")[0]
            if not (owner.isdecimal() and process_alive(int(owner))):
                _remove(path)

    def _write(self, path: Path, data: Buffer) -> None:
        try:
            write_private(path, data, scratch=self._scratch)
        except OSError as error:
            self.note_failure(error)


class KeyHints:
    """Key files that opened a repository before, kept by the hash of its config: the id is only known once it is open.

    A key file is no secret of its own (the server holds it too), but whoever has it can try passwords, so it is 0600.
    """

    def __init__(self, root: Path | None, config: bytes) -> None:
        self._directory = root / _HINTS / sha256(config).hexdigest() if root else None

    @classmethod
    def of_repository(cls, root: Path, repository_id: str) -> Self:
        """Those of the repository with this id, which are none when it was not opened here before."""
        hints = cls(None, b"")
        with suppress(OSError, UnicodeDecodeError):
            named = (root / _HINTS / repository_id).read_bytes()
            if is_id(name := named.decode("ascii")):
                hints._directory = root / _HINTS / name
        return hints

    def load(self) -> list[tuple[str, bytes]]:
        """(id, content) of each key file that is what its name says."""
        found = []
        for path in sorted(_files(self._directory)) if self._directory else ():
            with suppress(OSError):
                data = path.read_bytes()
                if sha256(data).hexdigest() == path.name:
                    found.append((path.name, data))
        return found

    def store(self, digits: str, data: bytes, seen: datetime, *, repository_id: str) -> None:
        """Try this key file first next time. That it cannot be kept costs two requests next time, nothing else.

        ``seen``: when it was on the server.
        """
        if self._directory is not None:
            with suppress(OSError):
                prepare_root(self._directory.parent.parent)
                write_private(self._directory / digits, data)
        self.note_seen(digits, seen)
        self.note_repository(repository_id)

    def note_repository(self, repository_id: str) -> None:
        """Remember of which repository these are, for ``of_repository``."""
        if self._directory is not None:
            note = self._directory.parent / repository_id
            with suppress(OSError):
                if not note.exists():
                    write_private(note, self._directory.name.encode("ascii"))

    def note_seen(self, digits: str, seen: datetime) -> None:
        """Remember when this key was last seen on the server."""
        if self._directory is not None:
            with suppress(OSError):
                os.utime(self._directory / digits, (seen.timestamp(), seen.timestamp()))

    def seen(self, digits: str) -> datetime | None:
        """When this key was last seen on the server; None when that is not known."""
        if self._directory is not None:
            with suppress(OSError):
                return datetime.fromtimestamp((self._directory / digits).stat().st_mtime, UTC)
        return None

    def drop(self, digits: str) -> None:
        """Do not try this key file again."""
        if self._directory is not None:
            _remove(self._directory / digits)


def prepare_root(root: Path | None) -> Path:
    """Make the directory that holds all caches, marked as such. Raises ``RepositoryError``."""
    if root is None:
        raise ValueError("no cache directory")
    tag = root / "CACHEDIR.TAG"
    try:
        _make_directory(root)
        if not tag.exists():
            write_private(tag, _TAG)
    except OSError as error:
        raise RepositoryError(
            f"the cache directory {root} cannot be used ({error}): check its rights, or choose another home directory"
        ) from error
    return root


def write_private(path: Path, data: Buffer, *, scratch: Path | None = None) -> None:
    """Write a file that only this user can read, at once or not at all. Raises ``OSError``.

    ``scratch`` is a directory of the same file system that holds it until it is whole.
    """
    _make_directory(path.parent)
    scratch = scratch or path.parent
    _make_directory(scratch)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=".tmp", dir=scratch)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _make_directory(path: Path) -> None:
    """Make a directory and those above it, each for this user alone."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    with suppress(FileExistsError):  # another process was faster
        path.mkdir(mode=_DIRECTORY_MODE)


def _remove(path: Path) -> None:
    """Delete a copy. One that cannot be deleted is verified again when it is read, so nothing depends on it."""
    with suppress(OSError):
        path.unlink()


def _files(directory: Path | None) -> Iterator[Path]:
    if directory is not None and directory.is_dir():
        yield from (path for path in directory.rglob("*") if path.is_file())
