"""What the parts of the catalogue ask within one transaction, in SQL that SQLite and PostgreSQL understand alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol, TypeAlias

from backup_core.catalogue.row import AnyRow, Codec, Dialect, Row

Run: TypeAlias = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]
"""Carries out a statement, whose parameters are written ``:name``, and returns the rows it finds."""
Where: TypeAlias = Mapping[str, Any]
"""Column -> the value it must have, a list of values or an ``Is``; with None it may have any."""


class Is(Enum):
    """Conditions that are no values."""

    NULL = "IS NULL"
    GIVEN = "IS NOT NULL"


class Store(Protocol):
    """An open database. Safe between threads and processes; its errors are ``CatalogueError``."""

    @property
    def location(self) -> str:
        """Where it is, for people; without a password."""

    @property
    def shared(self) -> bool:
        """Whether it lies on a server, where other machines may use it too."""

    def reading(self) -> AbstractContextManager[Statements]:
        """Statements that see one state of the database. Nothing done by them is kept."""

    def writing(self) -> AbstractContextManager[Statements]:
        """Statements that are kept at the end, or wholly undone when an error leaves the block."""

    def integrity(self) -> list[str]:
        """What the database itself finds wrong with its file; empty when nothing (or when it cannot tell)."""

    def close(self) -> None:
        """Give back all connections."""


class Statements:
    """What can be asked and changed within one transaction."""

    def __init__(self, run: Run, dialect: Dialect) -> None:
        self.run = run
        self._dialect = dialect

    def get(self, kind: type[AnyRow], *key: Any) -> AnyRow | None:
        """The row with this primary key."""
        found = self.find(kind, dict(zip(kind.KEY, key, strict=True)))
        return found[0] if found else None

    def find(
        self, kind: type[AnyRow], where: Where | None = None, *, order: Sequence[str] = (), limit: int | None = None
    ) -> list[AnyRow]:
        """Rows in the order of these columns, "-" before those that go downwards."""
        condition, parameters = self._condition(kind, where or {})
        return self.chosen(kind, condition + _ordered(order, limit), parameters)

    def chosen(self, kind: type[AnyRow], rest: str, parameters: Mapping[str, Any]) -> list[AnyRow]:
        """Rows, by the rest of a SELECT after the table's name."""
        columns = self._dialect.columns(kind)
        names = tuple(columns)
        found = self.run(f"SELECT {_list(names)} FROM {_q(kind.TABLE)}{rest}", parameters)
        reading = [(place, codec.decode) for place, codec in enumerate(columns.values()) if codec.decode is not None]
        made = []
        for row in found:
            values = list(row)
            for place, decode in reading:
                if values[place] is not None:
                    values[place] = decode(values[place])
            made.append(kind(**dict(zip(names, values, strict=True))))
        return made

    def values(
        self, kind: type[Row], names: Sequence[str], where: Where | None = None, *, order: Sequence[str] = ()
    ) -> list[tuple[Any, ...]]:
        """Some columns of rows."""
        condition, parameters = self._condition(kind, where or {})
        found = self.run(f"SELECT {_list(names)} FROM {_q(kind.TABLE)}{condition}{_ordered(order, None)}", parameters)
        codecs = [self._dialect.columns(kind)[name] for name in names]
        return [tuple(_decoded(*pair) for pair in zip(codecs, row, strict=True)) for row in found]

    def grouped(
        self, kind: type[Row], by: Sequence[str], figures: Sequence[str], where: Where
    ) -> list[tuple[Any, ...]]:
        """Some columns, and these figures in SQL of the rows that have the same in them, as the database tells them."""
        condition, parameters = self._condition(kind, where)
        wanted = ", ".join((_list(by), *figures))
        return self.run(f"SELECT {wanted} FROM {_q(kind.TABLE)}{condition} GROUP BY {_list(by)}", parameters)

    def add(self, row: Row) -> None:
        """Put a row in; one with the same primary key is an error."""
        self._insert(row, "")

    def add_numbered(self, row: Row) -> int:
        """Put in a row that the database numbers; the number."""
        self.add(row)
        return int(self.run(self._dialect.last_number, {})[0][0])

    def add_unless_there(self, row: Row) -> None:
        """Put a row in; one with the same primary key stays as it is."""
        self._insert(row, f" ON CONFLICT ({_list(row.KEY)}) DO NOTHING")

    def put(self, row: Row) -> None:
        """Put a row in; one with the same primary key is replaced."""
        rest = [name for name in self._dialect.columns(type(row)) if name not in row.KEY]
        changes = ", ".join(f"{_q(name)} = excluded.{_q(name)}" for name in rest)
        self._insert(row, f" ON CONFLICT ({_list(row.KEY)}) DO UPDATE SET {changes}")

    def change(self, kind: type[Row], where: Where, changes: Mapping[str, Any]) -> None:
        """Change columns of rows."""
        condition, parameters = self._condition(kind, where)
        codecs = self._dialect.columns(kind)
        new = {f"new_{name}": _encoded(codecs[name], value) for name, value in changes.items()}
        pairs = ", ".join(f"{_q(name)} = :new_{name}" for name in changes)
        self.run(f"UPDATE {_q(kind.TABLE)} SET {pairs}{condition}", {**parameters, **new})

    def remove(self, kind: type[Row], where: Where) -> None:
        """Take rows out."""
        condition, parameters = self._condition(kind, where)
        self.run(f"DELETE FROM {_q(kind.TABLE)}{condition}", parameters)

    def moment(self, value: Any) -> Any:
        """A moment as the database tells it."""
        return _decoded(self._dialect.moment, value)

    def _insert(self, row: Row, rest: str) -> None:
        values = {
            name: _encoded(codec, value)
            for name, codec in self._dialect.columns(type(row)).items()
            # A number that the database gives.
            if (value := getattr(row, name)) is not None or name not in row.KEY
        }
        marks = ", ".join(f":{name}" for name in values)
        self.run(f"INSERT INTO {_q(row.TABLE)} ({_list(tuple(values))}) VALUES ({marks}){rest}", values)

    def _condition(self, kind: type[Row], where: Where) -> tuple[str, dict[str, Any]]:
        terms = []
        parameters: dict[str, Any] = {}
        for name, wanted in where.items():
            codec = self._dialect.columns(kind)[name]
            if isinstance(wanted, Is):
                terms.append(f"{_q(name)} {wanted.value}")
            elif isinstance(wanted, (list, tuple, set, frozenset)):
                these = {f"{name}_{number}": _encoded(codec, value) for number, value in enumerate(wanted)}
                terms.append(f"{_q(name)} IN ({', '.join(f':{mark}' for mark in these)})" if these else "1 = 0")
                parameters |= these
            elif wanted is not None:
                terms.append(f"{_q(name)} = :{name}")
                parameters[name] = _encoded(codec, wanted)
        return " WHERE " + " AND ".join(terms) if terms else "", parameters


def _encoded(codec: Codec, value: Any) -> Any:
    return None if value is None else codec.encode(value)


def _decoded(codec: Codec, value: Any) -> Any:
    return value if value is None or codec.decode is None else codec.decode(value)


def _q(name: str) -> str:
    return f'"{name}"'


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_q, names))


def _ordered(order: Sequence[str], limit: int | None) -> str:
    by = ", ".join(_q(name.removeprefix("-")) + (" DESC" if name.startswith("-") else "") for name in order)
    return (f" ORDER BY {by}" if by else "") + ("" if limit is None else f" LIMIT {limit:d}")
