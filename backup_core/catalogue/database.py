"""Opening the catalogue: SQLite by default, any SQLAlchemy URL otherwise; one way to read and one to write.

SQLite runs in WAL mode, so that readers never wait; writers begin with ``BEGIN IMMEDIATE`` and wait for each other up
to ``BUSY_SECONDS`` instead of failing (a transaction that begins by reading and then writes would fail at once when
another process wrote meanwhile, whatever the timeout: https://www.sqlite.org/lang_transaction.html).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlmodel import Session

from backup_core.catalogue.migrations import HEAD, upgrade
from backup_core.errors import CatalogueError

BUSY_SECONDS = 30
_MIGRATION_LOCK = 0x64617661756C74
"""Any fixed number: PostgreSQL's advisory lock that keeps two migrations apart."""
_OLDER_REVISIONS: tuple[str, ...] = ("initial",)
"""Revisions before ``HEAD``, from which ``upgrade`` knows the way."""


class Database:
    """An open catalogue. Safe between threads and processes."""

    def __init__(self, engine: Engine, *, location: str) -> None:
        self._engine = engine
        self._writing = engine.execution_options(davault_writes=True)
        self.location = location
        """Where it is, for people; without a password."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database. Nothing done in it is kept."""
        with self._told(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is committed at the end, or wholly undone when an error leaves the block."""
        with self._told(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    @property
    def shared(self) -> bool:
        """Whether it lies on a server, where other machines may use it too."""
        return self._engine.dialect.name != "sqlite"

    def integrity(self) -> list[str]:
        """What the database itself finds wrong with its file; empty when nothing (or when it cannot tell)."""
        if self.shared:
            return []
        with self._told(), self._engine.connect() as connection:
            lines = connection.exec_driver_sql("PRAGMA quick_check(10)").scalars().all()
        return [line for line in lines if line != "ok"]

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise _explained(error, self.location) from error


def open_database(place: str | Path) -> Database:
    """Open the catalogue at ``place`` - a path, or an SQLAlchemy URL - creating or migrating it as needed.

    Raises ``CatalogueError`` when it is damaged, cannot be written, or was written by a newer version.
    """
    url = _url(place)
    location = url.render_as_string(hide_password=True) if url.get_backend_name() != "sqlite" else str(url.database)
    try:
        engine = _sqlite(url) if url.get_backend_name() == "sqlite" else create_engine(url, pool_pre_ping=True)
    except ImportError as error:
        raise CatalogueError(f"the driver for {location} is not installed: {error}") from error
    try:
        _bring_up_to_date(engine, location)
    except SQLAlchemyError as error:
        engine.dispose()
        raise _explained(error, location) from error
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, location=location)


def _url(place: str | Path) -> URL:
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = make_url(place)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise CatalogueError("the catalogue's URL is not one that SQLAlchemy knows") from error
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    return url


def _sqlite(url: URL) -> Engine:
    _make_private_file(url.database)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # With isolation_level None the driver leaves BEGIN to us (see _begin).
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("davault_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_private_file(database: str | None) -> None:
    if database in (None, "", ":memory:"):
        return
    path = Path(str(database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here, because SQLite would make it readable by everybody.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise CatalogueError(
            f"the catalogue {path} cannot be written ({error.strerror}); make it writable, or name another one"
        ) from error


def _bring_up_to_date(engine: Engine, location: str) -> None:
    with engine.connect() as connection:
        if _revision(connection, location) == HEAD:
            return
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            _write_ahead(connection)
    with engine.execution_options(davault_writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
        # Asked again, now that nobody else can be migrating.
        if _revision(connection, location) != HEAD:
            upgrade(connection)


def _write_ahead(connection: Connection) -> None:
    # Outside SQLAlchemy's transaction: the journal mode cannot change inside one. It stays in the file. Another process
    # doing the same at this moment makes SQLite say "locked" without waiting, and then does it for us.
    driver = connection.connection.driver_connection
    if driver is not None:
        try:
            driver.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise CatalogueError(f"the catalogue cannot be written: {error}") from error


def _revision(connection: Connection, location: str) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables:
            raise CatalogueError(f"{location} is a database of another program; name another file for the catalogue")
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found != HEAD and found not in _OLDER_REVISIONS:
        raise CatalogueError(
            f"the catalogue {location} was written by a newer version of this program (schema {found!r}); "
            "install that version, or move the file away: the list of backups is rebuilt from the server"
        )
    return None if found is None else str(found)


def _explained(error: SQLAlchemyError, location: str) -> CatalogueError:
    reason = str(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else str(error)
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
