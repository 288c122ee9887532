"""Any catalogue by way of SQLAlchemy: those on PostgreSQL, and making and migrating one anywhere.

One in a file is opened by ``sqlite_file`` once it is made and up to date, and by the same rules as there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from backup_core.catalogue.migrations import HEAD, upgrade
from backup_core.catalogue.row import POSTGRESQL, SQLITE
from backup_core.catalogue.sqlite_file import BUSY_SECONDS, ON_CONNECT, broken, explained, make_private
from backup_core.catalogue.statements import Statements
from backup_core.errors import CatalogueError

_MIGRATION_LOCK = 0x64617661756C74
"""Any fixed number: PostgreSQL's advisory lock that keeps two migrations apart."""
_OLDER_REVISIONS: tuple[str, ...] = ("initial",)
"""Revisions before ``HEAD``, from which ``upgrade`` knows the way."""


class Database:
    """See ``statements.Store``."""

    def __init__(self, engine: Engine, *, location: str) -> None:
        self.engine = engine
        self._writing = engine.execution_options(davault_writes=True)
        self.location = location

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """Statements that see one state of the database. Nothing done by them is kept."""
        with self._told(), self.engine.connect() as connection:
            yield _statements(connection)

    @contextmanager
    def writing(self) -> Iterator[Statements]:
        """Statements that are kept at the end, or wholly undone when an error leaves the block."""
        with self._told(), self._writing.begin() as connection:
            yield _statements(connection)

    @property
    def shared(self) -> bool:
        """Whether it lies on a server, where other machines may use it too."""
        return self.engine.dialect.name != "sqlite"

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with its file; empty when nothing, or when it is another database."""
        if self.shared:
            return []
        with self.reading() as statements:
            return broken(statements)

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise explained(_reason(error), self.location) from error


def _statements(connection: Connection) -> Statements:
    def run(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        result = connection.execute(text(sql), parameters)
        return [tuple(row) for row in result] if result.returns_rows else []

    return Statements(run, SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL)


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
        raise explained(_reason(error), location) from error
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
    if url.database not in (None, "", ":memory:"):
        make_private(Path(str(url.database)))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # With isolation_level None the driver leaves BEGIN to us (see _begin).
        connection.isolation_level = None
        for statement in ON_CONNECT:
            connection.execute(statement)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("davault_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


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


def _reason(error: SQLAlchemyError) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else str(error)
