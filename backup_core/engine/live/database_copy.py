"""A consistent copy of an SQLite database that others may be writing, by SQLite's own online backup.

The copy is made within one read transaction, so it shows one moment however long it takes. Writers of a database with a
log (WAL) never notice; others wait until the copy is made. Nothing is written beside the original: where SQLite would
have to (a crashed program left a log or a journal that is to be applied first), the files are copied, and applied to
the copy. A database is opened for reading only, and nothing in it is run: no trigger, no view.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

from backup_core.engine.live import sqlite_files
from backup_core.progress import CancelToken

_PAGES = 2048
"""Pages that are copied between two looks at whether to stop."""
_PATIENCE = 60.0
"""Seconds to wait for a writer who holds the database all the time."""
_ATTEMPTS = 5
"""To tell a writer at work from one that has crashed."""
_SPARE = 256 << 20
"""Bytes that stay free on the disk with the copies."""
_NO_DATABASE = frozenset((sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT))
_TO_BE_RECOVERED = frozenset((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN))
_PRIMARY = 0xFF
"""The part of SQLite's extended error codes that names the kind of error."""


class DatabaseCopier:
    """Makes copies below a directory that is private to us."""

    def __init__(self, scratch: Path, stop: CancelToken) -> None:
        """``scratch`` exists. The names of copies begin with the number of this process."""
        self._scratch = scratch
        self._stop = stop

    def is_written_in_place(self, beginning: bytes) -> bool:
        """See ``sqlite_files.is_written_in_place``."""
        return sqlite_files.is_written_in_place(beginning)

    @contextmanager
    def copy(self, path: bytes) -> Iterator[bytes]:
        """The path of a consistent copy while the block runs; that of the file itself when it is no database after all,
        or one that nobody uses.

        Raises ``OSError`` with the reason when no copy can be had, ``Cancelled``.
        """
        company = {suffix: status for suffix in sqlite_files.COMPANY if (status := _status(path + suffix)) is not None}
        log, used = company.get(b"-wal"), b"-shm" in company
        # The log first: a database that this very process uses must not be opened and closed to look at it.
        if (log is None or not (log.st_size or used)) and not sqlite_files.is_written_in_place(
            sqlite_files.beginning_of(path)
        ):
            yield path
            return
        with self._scratch_file() as target:
            consistent = target
            try:
                if log is not None and log.st_size and not used:
                    self._recover(path, target)
                else:
                    self._copy_or_recover(path, target)
            except sqlite3.Error as error:
                if company or _kind(error) not in _NO_DATABASE:
                    raise OSError(errno.EIO, str(error)) from error
                consistent = path
            yield consistent

    @contextmanager
    def _scratch_file(self) -> Iterator[bytes]:
        descriptor, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=self._scratch)
        os.close(descriptor)
        try:
            yield os.fsencode(name)
        finally:
            for suffix in ("", *map(os.fsdecode, sqlite_files.COMPANY)):
                Path(name + suffix).unlink(missing_ok=True)

    def _copy_or_recover(self, path: bytes, target: bytes) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._back_up(path, target)
                return
            except sqlite3.Error as error:
                if _kind(error) not in _TO_BE_RECOVERED:
                    raise
            try:
                self._recover(path, target)
                return
            except OSError as error:
                # A living writer's journal looks for a moment like that of a dead one.
                if error.errno != errno.EBUSY or attempt == _ATTEMPTS:
                    raise
                _empty(target)

    def _back_up(self, path: bytes, target: bytes) -> None:
        with closing(_open(path, "ro")) as source, closing(_open(target, "rw")) as copy:
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            source.execute("BEGIN")
            source.execute("PRAGMA schema_version").fetchone()  # the first read; from here on nothing changes for us
            pages, size = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            self._need_room(pages * size)
            source.backup(copy, pages=_PAGES, progress=lambda *_: self._stop.check())

    def _recover(self, path: bytes, target: bytes) -> None:
        """Copy the files, then let SQLite apply what is to be applied to the copy."""
        names = [b"", *sqlite_files.COMPANY]
        before = {suffix: _status(path + suffix) for suffix in names if suffix != b"-shm"}
        self._need_room(sum(status.st_size for status in before.values() if status is not None))
        for suffix, status in before.items():
            if status is not None:
                shutil.copyfile(path + suffix, target + suffix)
        after = {suffix: _status(path + suffix) for suffix in before}
        if any(_facts(before[suffix]) != _facts(after[suffix]) for suffix in before):
            raise OSError(errno.EBUSY, "it was being written while it was copied")
        with closing(_open(target, "rw")) as copy:
            copy.execute("PRAGMA schema_version").fetchone()
            copy.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _need_room(self, size: int) -> None:
        if shutil.disk_usage(self._scratch).free < size + _SPARE:
            raise OSError(errno.ENOSPC, f"there is no room for a copy of {size} bytes in {self._scratch}")


def _empty(target: bytes) -> None:
    """As if nothing had been copied: a journal that stayed would be applied to the next copy."""
    for suffix in sqlite_files.COMPANY:
        Path(os.fsdecode(target + suffix)).unlink(missing_ok=True)
    os.truncate(target, 0)


def _open(path: bytes, mode: str) -> sqlite3.Connection:
    address = f"file:{quote_from_bytes(path)}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)


def _kind(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY


def _status(path: bytes) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.lstat(path)
    return None


def _facts(status: os.stat_result | None) -> tuple[int, int, int] | None:
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)
