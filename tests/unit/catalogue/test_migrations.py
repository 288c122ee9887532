"""A catalogue of every earlier schema comes up to date with all that is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, insert

from backup_core.catalogue import migrations, open_catalogue
from backup_core.catalogue.columns import Document, Moment
from backup_core.catalogue.database import _OLDER_REVISIONS, open_database
from backup_core.catalogue.models import Table

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def _settings(connection: Connection | None = None) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    settings.attributes["connection"] = connection
    return settings


def _earlier() -> list[str]:
    revisions = [script.revision for script in ScriptDirectory.from_config(_settings()).walk_revisions()]
    return [revision for revision in revisions if revision != migrations.HEAD]


def _values(table: Any) -> dict[str, Any]:
    """A row with something in every column that the schema of that time had."""
    made: dict[str, Any] = {}
    for column in table.columns:
        kind = str(column.type).upper()
        declared = Table.metadata.tables[table.name].columns[column.name].type
        if isinstance(declared, Document):
            made[column.name] = (
                "[]" if column.name in ("problems", "paths", "errors", "warnings", "tags") else '{"a": 1}'
            )
        elif isinstance(declared, Moment):
            made[column.name] = (
                NOW if "WITH TIME ZONE" in kind or table.dialect == "postgresql" else NOW.replace(tzinfo=None)
            )
        elif "BOOL" in kind:
            made[column.name] = True
        elif "INT" in kind:
            made[column.name] = 1
        elif "FLOAT" in kind or "DOUBLE" in kind or "REAL" in kind:
            made[column.name] = 1.5
        else:
            made[column.name] = "重要文档"
    return made


@pytest.fixture
def of_earlier(place: str) -> Callable[[str], None]:
    """Makes a catalogue of an earlier revision, with a row in every table."""

    def make(revision: str) -> None:
        url = f"sqlite:///{place}" if "://" not in place else place.replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url)
        with engine.begin() as connection:
            command.upgrade(_settings(connection), revision)
            metadata = MetaData()
            metadata.reflect(connection)
            for table in metadata.sorted_tables:
                if table.name != "alembic_version":
                    table.dialect = engine.dialect.name  # type: ignore[attr-defined]
                    connection.execute(insert(table).values(_values(table)))
        engine.dispose()

    return make


def test_every_earlier_revision_is_known() -> None:
    assert set(_earlier()) == set(_OLDER_REVISIONS)


@pytest.mark.parametrize("revision", _earlier())
def test_nothing_is_lost_on_the_way_up(place: str, of_earlier: Callable[[str], None], revision: str) -> None:
    of_earlier(revision)
    catalogue = open_catalogue(place)
    try:
        assert [row.name for row in catalogue.setups.clients()] == ["重要文档"]
        assert [row.created_at for row in catalogue.setups.configurations()] == [NOW]
        (run,) = catalogue.history.runs()
        assert (run.configuration, run.figures, run.started_at) == ("重要文档", {"a": 1}, NOW)
        (backup,) = catalogue.manifests.listed()
        assert (backup.backup_id, backup.total_size, backup.created_at) == ("重要文档", 1, NOW)
        assert backup.tags == []
        assert len(catalogue.history.validations()) == len(catalogue.restores.listed()) == 1
        assert len(catalogue.plans.listed()) == 1
        assert catalogue.setups.setting("重要文档") == {"a": 1}
        assert (catalogue.pins.listed(), catalogue.holds.listed()) == ([], [])
    finally:
        catalogue.close()
    database = open_database(place)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == migrations.HEAD
        assert compare_metadata(context, Table.metadata) == []
    database.close()


@pytest.mark.parametrize("revision", _earlier())
def test_several_come_up_at_the_same_moment(place: str, of_earlier: Callable[[str], None], revision: str) -> None:
    of_earlier(revision)
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def come_up() -> None:
        barrier.wait()
        try:
            open_catalogue(place).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
