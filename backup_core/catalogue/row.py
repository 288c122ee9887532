"""A row of the catalogue as a plain object, and how its values are kept.

A row's class is a dataclass whose fields are the columns of its table. How a value is kept follows from the field's
annotation as it is written: moments in UTC, JSON values as ASCII text, and ``Printable`` without what databases refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias, TypeVar

from backup_core.deferred import dataclass

Printable: TypeAlias = str
"""Text in which NUL and lone surrogates, which PostgreSQL refuses, are kept as escapes."""


class Row:
    """Base of all rows."""

    __slots__ = ()
    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    """The columns of the primary key."""


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one kind are kept in a database. None stays None."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any] | None = None
    """None: as it comes."""


class Dialect:
    """In what databases differ."""

    def __init__(self, moment: Codec, *, last_number: str) -> None:
        self.moment = moment
        self.last_number = last_number
        """The statement that tells the number of the row added last on this connection."""
        self._columns: dict[type[Row], Mapping[str, Codec]] = {}

    def columns(self, kind: type[Row]) -> Mapping[str, Codec]:
        """The columns of a row's table in their order, by name."""
        if kind not in self._columns:
            self._columns[kind] = {name: self._codec(annotation) for name, annotation in column_types(kind).items()}
        return self._columns[kind]

    def _codec(self, annotation: str) -> Codec:
        kept_as = annotation.removesuffix(" | None").partition("[")[0]
        return self.moment if kept_as == "datetime" else _CODECS[kept_as]


def column_types(kind: type[Row]) -> dict[str, str]:
    """The columns of a row's table in their order, with what they hold as it is written."""
    return {column.name: str(column.type) for column in fields(kind)}  # type: ignore[arg-type]  # every row is a dataclass


def in_utc(value: datetime) -> datetime:
    """An aware moment in UTC."""
    if value.tzinfo is None:
        raise ValueError("the catalogue takes aware moments only")
    return value.astimezone(UTC)


def _document(value: Any) -> str:
    # ASCII, so that names which are not UTF-8 (lone surrogates) survive in any database.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _printable(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _moment_as_text(value: datetime) -> str:
    return in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def _moment_of_text(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


_PLAIN = Codec(lambda value: value)
_JSON = Codec(_document, json.loads)
_CODECS = {
    "str": _PLAIN,
    "int": _PLAIN,
    "float": _PLAIN,
    "bool": Codec(bool, bool),
    "Printable": Codec(_printable),
    "dict": _JSON,
    "list": _JSON,
    "Any": _JSON,
}
SQLITE = Dialect(Codec(_moment_as_text, _moment_of_text), last_number="SELECT last_insert_rowid()")
POSTGRESQL = Dialect(Codec(in_utc, in_utc), last_number="SELECT lastval()")
