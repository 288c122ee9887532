"""A catalogue on SQLite and, where its programs are installed, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.catalogue import Catalogue


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new catalogue may be."""
    if request.param == "sqlite":
        yield str(tmp_path / "catalogue.db")
        return
    import psycopg

    url = request.getfixturevalue("postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE catalogue")
    try:
        yield url.rpartition("/")[0] + "/catalogue"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP DATABASE catalogue WITH (FORCE)")


@pytest.fixture
def catalogue(place: str) -> Iterator[Catalogue]:
    """An open, empty catalogue."""
    opened = open_catalogue(place)
    yield opened
    opened.close()
