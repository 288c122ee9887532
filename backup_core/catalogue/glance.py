"""A look at the catalogue for short commands, which do without opening anything else.

It reads only, also where nobody may write, and only where nothing is unusual: an SQLite file of this program's own
schema. Whoever is given None opens the catalogue instead, which also knows what to do about anything unusual.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from backup_core.catalogue.backups import KnownBackup, KnownSpace, Totals
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.migrations import HEAD
from backup_core.catalogue.row import SQLITE
from backup_core.catalogue.sqlite_file import SQLiteFile
from backup_core.catalogue.statements import Statements
from backup_core.deferred import dataclass

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


@dataclass(frozen=True, slots=True)
class GlancedFigures:
    """One state of the catalogue, summed up."""

    configurations: list[Configuration]
    """By name."""
    settings: Mapping[str, Any]
    """Those whose keys begin as asked for."""
    totals: list[Totals]
    """As ``Manifests.totals``."""
    sizes: list[tuple[datetime, int, int]]
    """As ``Manifests.sizes_over_time``, of the configuration asked for."""
    newest: tuple[str, datetime] | None
    """The newest backup of that configuration: its id, and when it was made."""
    outcomes: Mapping[str, int]
    """How many backup runs of that configuration ended in each way."""
    spaces: list[KnownSpace]
    """As ``Readings.last_spaces``."""


def glance_at(path: Path, *, settings: str) -> Glance | None:
    """What the catalogue in this file lists, with the settings whose keys begin with ``settings``; None when it cannot
    be read this way."""
    return _looked_at(
        path,
        lambda catalogue: Glance(
            configurations=_configurations(catalogue),
            settings=catalogue.setups.settings(settings),
            backups=catalogue.manifests.listed(),
            validated=catalogue.history.last_good_validations(),
        ),
    )


def figures_at(path: Path, configuration: str | None, *, settings: tuple[str, ...]) -> GlancedFigures | None:
    """What the catalogue in this file sums up to, ``sizes``, ``newest`` and ``outcomes`` for one configuration (None:
    for all), with the settings whose keys begin with one of ``settings``; None when it cannot be read this way."""

    def read(catalogue: Catalogue) -> GlancedFigures:
        newest = catalogue.manifests.listed(configuration, limit=1)
        return GlancedFigures(
            configurations=_configurations(catalogue),
            settings={key: value for prefix in settings for key, value in catalogue.setups.settings(prefix).items()},
            totals=catalogue.manifests.totals(),
            sizes=catalogue.manifests.sizes_over_time(configuration),
            newest=(newest[0].backup_id, newest[0].created_at) if newest else None,
            outcomes=catalogue.history.outcomes(configuration, kind="backup"),
            spaces=catalogue.readings.last_spaces(),
        )

    return _looked_at(path, read)


def configuration_at(path: Path, name: str, *, setting: str) -> tuple[dict[str, Any], Any] | None:
    """The record of a configuration in this file, and the value of one setting, None where there is none; None when
    there is no such configuration, or it cannot be read this way."""

    def read(catalogue: Catalogue) -> tuple[dict[str, Any], Any] | None:
        found = catalogue.setups.configuration(name)
        return None if found is None else (found.record, catalogue.setups.setting(setting))

    return _looked_at(path, read)


class _OneState(SQLiteFile):
    """A file of which every reading sees the same state."""

    def __init__(self, path: Path, statements: Statements) -> None:
        super().__init__(path)
        self._statements = statements

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """What has been begun already."""
        yield self._statements


def _looked_at(path: Path, read: Callable[[Catalogue], _Answer]) -> _Answer | None:
    """What ``read`` finds in one state of the file; None when it cannot be read, or not as this program's own."""
    path = path.absolute()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as file:
            file.execute("BEGIN")
            if file.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]:
                return None
            statements = Statements(lambda sql, parameters: file.execute(sql, parameters).fetchall(), SQLITE)
            return read(Catalogue(_OneState(path, statements)))
    except (sqlite3.Error, ValueError):
        return None


def _configurations(catalogue: Catalogue) -> list[Configuration]:
    return [Configuration(row.name, row.client, row.target_path) for row in catalogue.setups.configurations()]
