"""The catalogue's sums about backups and runs, by the same short way as the list of backups (``glance``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backup_core.catalogue.backups import KnownSpace, Totals
from backup_core.catalogue.glance import Configuration, configurations, looked_at, moment, settings_of


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


def figures_at(path: Path, configuration: str | None, *, settings: tuple[str, ...]) -> GlancedFigures | None:
    """What the catalogue in this file sums up to, ``sizes``, ``newest`` and ``outcomes`` for one configuration (None:
    for all), with the settings whose keys begin with one of ``settings``; None when it cannot be read this way."""
    return looked_at(path, lambda file: _read(file, configuration, settings))


def _read(file: sqlite3.Connection, configuration: str | None, settings: tuple[str, ...]) -> GlancedFigures:
    chosen = {"name": configuration}
    newest = file.execute(
        "SELECT backup_id, created_at FROM manifest WHERE :name IS NULL OR configuration = :name "
        "ORDER BY created_at DESC, backup_id DESC LIMIT 1",
        chosen,
    ).fetchone()
    sizes = file.execute(
        "SELECT created_at, stored_size, total_size FROM manifest WHERE :name IS NULL OR configuration = :name "
        "ORDER BY created_at",
        chosen,
    )
    outcomes = file.execute(
        "SELECT outcome, count(*) FROM run WHERE kind = 'backup' AND (:name IS NULL OR configuration = :name) "
        "GROUP BY outcome",
        chosen,
    )
    return GlancedFigures(
        configurations=configurations(file),
        settings={key: value for prefix in settings for key, value in settings_of(file, prefix).items()},
        totals=_totals(file),
        sizes=[(moment(at), stored, logical) for at, stored, logical in sizes],
        newest=None if newest is None else (newest[0], moment(newest[1])),
        outcomes=dict(outcomes.fetchall()),
        spaces=_spaces(file),
    )


def _totals(file: sqlite3.Connection) -> list[Totals]:
    rows = file.execute(
        "SELECT repository_id, configuration, backup_type, count(*), sum(total_size), sum(data_added), "
        "sum(stored_size), min(created_at), max(created_at) FROM manifest "
        "GROUP BY repository_id, configuration, backup_type"
    )
    return [
        Totals(repository, name, kind, count, size, added, stored, moment(oldest), moment(newest))
        for repository, name, kind, count, size, added, stored, oldest, newest in rows
    ]


def _spaces(file: sqlite3.Connection) -> list[KnownSpace]:
    rows = file.execute("SELECT client, used, available, at FROM space_reading ORDER BY at, id")
    newest = {client: KnownSpace(client, used, available, moment(at)) for client, used, available, at in rows}
    return [newest[client] for client in sorted(newest)]
