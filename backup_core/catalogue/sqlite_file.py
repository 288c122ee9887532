"""A catalogue in an SQLite file of this program's own schema, by the standard library alone.

Nearly every command opens one, and SQLAlchemy takes longer to load than most of them take to be done. Making a
catalogue, migrating it and telling what is wrong with one is ``database``'s business, which is loaded only then.

SQLite runs in WAL mode, so that readers never wait; writers begin with ``BEGIN IMMEDIATE`` and wait for each other up
to ``BUSY_SECONDS`` instead of failing (a transaction that begins by reading and then writes would fail at once when
another process wrote meanwhile, whatever the timeout: https://www.sqlite.org/lang_transaction.html).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backup_core.catalogue.migrations import HEAD
from backup_core.catalogue.row import SQLITE
from backup_core.catalogue.statements import Statements
from backup_core.errors import CatalogueError

BUSY_SECONDS = 30
ON_CONNECT = ("PRAGMA foreign_keys=ON", "PRAGMA synchronous=NORMAL")
"""What every connection is told first."""
_MAKING = threading.Lock()
"""Held while the file is made. A file that is there is never opened but by SQLite: closing it once would take away the
locks of all of this process's connections to it, behind SQLite's back, and what they write later would be lost
(https://www.sqlite.org/howtocorrupt.html, 2.2)."""


class SQLiteFile:
    """See ``statements.Store``."""

    shared = False

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self._address = f"{path.as_uri()}?mode=rw"
        # By process, because SQLite's connections must not be used, nor even closed, by a forked one.
        self._idle: dict[int, list[sqlite3.Connection]] = {}

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """Statements that see one state of the database."""
        with self._transaction("BEGIN", "ROLLBACK") as statements:
            yield statements

    @contextmanager
    def writing(self) -> Iterator[Statements]:
        """Statements that are kept at the end, or wholly undone when an error leaves the block."""
        with self._transaction("BEGIN IMMEDIATE", "COMMIT") as statements:
            yield statements

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with its file."""
        with self.reading() as statements:
            return broken(statements)

    def close(self) -> None:
        """Close all connections of this process."""
        for connection in self._idle.pop(os.getpid(), []):
            connection.close()

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[Statements]:
        try:
            connection = self._connection()
            try:
                connection.execute(begin)

                def run(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
                    return connection.execute(sql, parameters).fetchall()

                yield Statements(run, SQLITE)
                connection.execute(end)
            except BaseException:
                # Which also undoes what was begun.
                connection.close()
                raise
            self._idle.setdefault(os.getpid(), []).append(connection)
        except sqlite3.Error as error:
            raise explained(str(error), self.location) from error

    def _connection(self) -> sqlite3.Connection:
        idle = self._idle.setdefault(os.getpid(), [])
        try:
            return idle.pop()
        except IndexError:
            connection = sqlite3.connect(
                self._address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            for statement in ON_CONNECT:
                connection.execute(statement)
            return connection


def open_file(place: str | Path) -> SQLiteFile | None:
    """Open the catalogue in this file; None when there is none of this program's own schema, or ``place`` is no path.

    Raises ``CatalogueError`` when nobody may write it.
    """
    if isinstance(place, str) and "://" in place:
        return None
    path = Path(place).expanduser().absolute()
    if not path.is_file():
        return None
    make_private(path)
    file = SQLiteFile(path)
    try:
        with file.reading() as statements:
            revisions = statements.run("SELECT version_num FROM alembic_version", {})
    except CatalogueError:
        revisions = []
    if revisions == [(HEAD,)]:
        return file
    file.close()
    return None


def make_private(path: Path) -> None:
    """Have the file there, for its owner alone: SQLite would make it readable by everybody."""
    try:
        with _MAKING:
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if not path.is_file():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise CatalogueError(
            f"the catalogue {path} cannot be written ({error.strerror}); make it writable, or name another one"
        ) from error


def broken(statements: Statements) -> list[str]:
    """What SQLite finds wrong with a file; empty when nothing."""
    return [line for (line,) in statements.run("PRAGMA quick_check(10)", {}) if line != "ok"]


def explained(reason: str, location: str) -> CatalogueError:
    """What a database said, with advice."""
    lowered = reason.lower()
    if "not a database" in lowered or "malformed" in lowered or "disk i/o" in lowered:
        advice = "it is damaged. Move the file away and run again: the list of backups is rebuilt from the server"
    elif "readonly" in lowered or "unable to open" in lowered:
        advice = "it cannot be written. Make the file and its directory writable"
    elif "locked" in lowered:
        advice = f"another program has held it for more than {BUSY_SECONDS} seconds"
    elif "full" in lowered:
        advice = "the disk is full"
    else:
        advice = "the database refused"
    return CatalogueError(f"the catalogue {location}: {advice} ({reason.strip()})")
