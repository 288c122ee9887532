"""Column types that mean the same on SQLite and PostgreSQL; how their values are kept, ``row`` knows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.types import TypeDecorator

Bytes = BigInteger
"""Counts and sizes; PostgreSQL's INTEGER ends at 2 GiB."""


class Moment(TypeDecorator[Any]):
    """An aware moment; SQLite, which knows no zones, holds it in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True


class Document(TypeDecorator[Any]):
    """A JSON value as text."""

    impl = Text
    cache_ok = True


class PrintableText(TypeDecorator[Any]):
    """``row.Printable``."""

    impl = Text
    cache_ok = True
