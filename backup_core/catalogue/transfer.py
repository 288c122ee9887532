"""Rows as plain values, to be carried from one catalogue to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from backup_core.catalogue.database import Database
from backup_core.catalogue.models import Row


@dataclass(frozen=True, slots=True)
class CarriedTable:
    """How the rows of a table travel."""

    model: type[Row]
    identity: tuple[str, ...]
    """Columns that together tell whether a row is there already."""
    newest_first: str
    """The column by which the rows are sorted; the oldest are left behind when there are too many."""
    owner: str = ""
    """Column compared with the values that ``export`` is given; "" carries every row."""
    most: int = 1000
    """Rows that travel."""
    ended: str = ""
    """Column that holds nothing as long as the row's work goes on: such a row stays here."""
    left_out: frozenset[str] = frozenset({"id", "pid"})
    """Columns that mean nothing elsewhere."""
    shortened: Mapping[str, int] = field(default_factory=dict)
    """Column holding a list -> how many of its values travel."""


class Transfer:
    """Takes rows out of a catalogue and puts them into another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def export(self, table: CarriedTable, owners: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows as plain JSON values, newest first."""
        query = select(table.model).order_by(col(getattr(table.model, table.newest_first)).desc()).limit(table.most)
        if table.owner:
            query = query.where(col(getattr(table.model, table.owner)).in_(owners))
        if table.ended:
            query = query.where(col(getattr(table.model, table.ended)).is_not(None))
        with self._database.reading() as session:
            return [_plain(table, row) for row in session.exec(query)]

    def count_new(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many of these are not in this catalogue."""
        return len(self._new(table, rows))

    def add(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> int:
        """Put in the rows that are not there; their number. What another version wrote is taken as far as it is known:
        missing columns get their defaults, unknown ones are passed over, and so is a row without what it must have."""
        new = self._new(table, rows)
        with self._database.writing() as session:
            session.add_all(new)
        return len(new)

    def _new(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
        with self._database.reading() as session:
            columns = [getattr(table.model, name) for name in table.identity]
            rows_here = session.exec(select(*columns))
            # One column comes as itself, several as a row of them.
            known = {tuple(map(_key, row if len(columns) > 1 else (row,))) for row in rows_here}
        found = []
        for values in rows:
            row = _made(table, values)
            if row is None:
                continue
            key = tuple(_key(getattr(row, name)) for name in table.identity)
            if key not in known:
                known.add(key)
                found.append(row)
        return found


def _plain(table: CarriedTable, row: Row) -> dict[str, Any]:
    values = row.model_dump(mode="json", exclude=set(table.left_out))
    for name, most in table.shortened.items():
        values[name] = values[name][:most]
    return values


def _made(table: CarriedTable, values: Mapping[str, Any]) -> Row | None:
    try:
        return table.model.model_validate({k: v for k, v in values.items() if k not in table.left_out})
    except ValueError:
        return None


def _key(value: object) -> object:
    return value.timestamp() if isinstance(value, datetime) else value
