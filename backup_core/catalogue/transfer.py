"""Rows as plain values, to be carried from one catalogue to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from backup_core.catalogue.checked import checked
from backup_core.catalogue.row import Row, column_types
from backup_core.catalogue.statements import Is, Store
from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True)
class CarriedTable:
    """How the rows of a table travel."""

    kind: type[Row]
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

    def __init__(self, store: Store) -> None:
        self._store = store

    def export(self, table: CarriedTable, owners: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows as plain JSON values, newest first."""
        where: dict[str, Any] = {}
        if table.owner:
            where[table.owner] = list(owners)
        if table.ended:
            where[table.ended] = Is.GIVEN
        with self._store.reading() as statements:
            rows = statements.find(table.kind, where, order=(f"-{table.newest_first}",), limit=table.most)
        columns = [name for name in column_types(table.kind) if name not in table.left_out]
        return [_plain(table, columns, row) for row in rows]

    def count_new(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many of these are not in this catalogue."""
        return len(self._new(table, rows))

    def add(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> int:
        """Put in the rows that are not there; their number. What another version wrote is taken as far as it is known:
        missing columns get their defaults, unknown ones are passed over, and so is a row without what it must have."""
        new = self._new(table, rows)
        with self._store.writing() as statements:
            for row in new:
                statements.add(row)
        return len(new)

    def _new(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
        with self._store.reading() as statements:
            known = {tuple(map(_key, row)) for row in statements.values(table.kind, table.identity)}
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


def _plain(table: CarriedTable, columns: Sequence[str], row: Row) -> dict[str, Any]:
    values = {name: _json(getattr(row, name)) for name in columns}
    for name, most in table.shortened.items():
        values[name] = values[name][:most]
    return values


def _json(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _made(table: CarriedTable, values: Mapping[str, Any]) -> Row | None:
    try:
        return checked(table.kind, {k: v for k, v in values.items() if k not in table.left_out})
    except ValueError:
        return None


def _key(value: object) -> object:
    return value.timestamp() if isinstance(value, datetime) else value
