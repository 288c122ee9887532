"""A look at the list of backups without the database packages, which take longer to load than the list to read.

It reads only, and only where nothing is unusual: an SQLite file of this program's own schema. Whoever is given None
opens the catalogue instead, which also knows what to do about anything unusual.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.migrations import HEAD

_BUSY_SECONDS = 5
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What leads from a configuration to its repository."""

    name: str
    client: str
    target_path: str


@dataclass(frozen=True, slots=True)
class Glance:
    """One state of the catalogue."""

    configurations: list[Configuration]
    """By name."""
    settings: Mapping[str, Any]
    """Those whose keys begin as asked for."""
    backups: list[KnownBackup]
    """Newest first."""
    validated: Mapping[str, datetime]
    """Snapshot id -> when it was last found whole."""


def glance_at(path: Path, *, settings: str) -> Glance | None:
    """What the catalogue in this file lists, with the settings whose keys begin with ``settings``; None when it cannot
    be read this way."""
    return looked_at(path, lambda file: _read(file, settings))


def configuration_at(path: Path, name: str, *, setting: str) -> tuple[dict[str, Any], Any] | None:
    """The record of a configuration in this file, and the value of one setting, None where there is none; None when
    there is no such configuration, or it cannot be read this way."""

    def read(file: sqlite3.Connection) -> tuple[dict[str, Any], Any] | None:
        found = file.execute("SELECT record FROM configuration WHERE name = ?", (name,)).fetchone()
        value = file.execute("SELECT value FROM setting WHERE key = ?", (setting,)).fetchone()
        return None if found is None else (json.loads(found[0]), None if value is None else json.loads(value[0]))

    return looked_at(path, read)


def looked_at(path: Path, read: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
    """What ``read`` finds in one state of the file; None when it cannot be read, or not as this program's own."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as file:
            file.execute("BEGIN")
            if file.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]:
                return None
            return read(file)
    except (sqlite3.Error, ValueError):
        return None


def configurations(file: sqlite3.Connection) -> list[Configuration]:
    """All configurations, by name."""
    rows = file.execute("SELECT name, client, target_path FROM configuration ORDER BY name")
    return [Configuration(*row) for row in rows]


def settings_of(file: sqlite3.Connection, prefix: str) -> dict[str, Any]:
    """The settings whose keys begin with ``prefix``."""
    rows = file.execute("SELECT key, value FROM setting WHERE substr(key, 1, length(?1)) = ?1", (prefix,))
    return {key: json.loads(value) for key, value in rows}


def moment(text: str) -> datetime:
    """What SQLite holds of an aware moment."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _read(file: sqlite3.Connection, settings: str) -> Glance:
    return Glance(
        configurations=configurations(file),
        settings=settings_of(file, settings),
        backups=_backups(file.execute("SELECT * FROM manifest ORDER BY created_at DESC, backup_id DESC")),
        validated={
            snapshot: moment(started)
            for snapshot, started in file.execute(
                "SELECT snapshot_id, started_at FROM validation WHERE is_valid ORDER BY started_at"
            )
        },
    )


def _backups(rows: sqlite3.Cursor) -> list[KnownBackup]:
    columns = [column[0] for column in rows.description]
    read = [(f.name, columns.index(f.name), _READERS.get(f.name, _as_it_is)) for f in fields(KnownBackup)]
    return [KnownBackup(**{name: reader(row[number]) for name, number, reader in read}) for row in rows]


def _as_it_is(value: Any) -> Any:
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "created_at": moment,
    "paths": json.loads,
    "tags": json.loads,
    "encrypted": bool,
}
"""How what SQLite holds is understood, as ``columns`` does it; all else stands there as it is."""
