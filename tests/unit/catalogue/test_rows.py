"""Rows say the same as the tables, and come back from every database as they went in."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean

from backup_core.catalogue import (
    account_rows,
    backups,
    disaster_rows,
    evidence_rows,
    open_catalogue,
    reading_rows,
    restore_rows,
    retention_rows,
    rows,
)
from backup_core.catalogue.all_models import models
from backup_core.catalogue.checked import checked
from backup_core.catalogue.columns import Document, Moment, PrintableText
from backup_core.catalogue.database import open_database
from backup_core.catalogue.row import Row, column_types
from backup_core.catalogue.sqlite_file import open_file
from backup_core.catalogue.statements import Store
from backup_core.errors import CatalogueError

MODULES = (account_rows, backups, disaster_rows, evidence_rows, reading_rows, restore_rows, retention_rows, rows)
KINDS: dict[str, type[Row]] = {
    kind.TABLE: kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Row) and kind is not Row
}
TABLES = {str(table.__tablename__): table for table in models.Table.__subclasses__()}
NOW = datetime(2026, 11, 23, 2, 0, 0, 120, tzinfo=timezone(timedelta(hours=8)))
HOSTILE = {
    "str": "重要\t'文档\"; DROP TABLE run; --%:name",
    "Printable": "重要\n文档",
    "int": 2**31 - 1,
    "float": -1.5e300,
    "bool": True,
    "datetime": NOW,
    "dict": {"\udcff\0": [None, 2**70, "重要", {"": 1.5}]},
    "list": ["\udcff\0", "重要"],
    "Any": [{"\udcff": None}],
}


def held(text: str) -> str:
    """What a column's annotation says, without "or nothing" and what is inside."""
    return text.removesuffix(" | None").partition("[")[0]


def hostile(kind: type[Row]) -> Row:
    """A row with something awkward in every column."""
    values = {
        name: HOSTILE[text.removesuffix(" | None").partition("[")[0]] for name, text in column_types(kind).items()
    }
    return kind(**values)


def sparse(kind: type[Row]) -> Row:
    """A row with nothing wherever that is allowed."""
    values: dict[str, Any] = {}
    for name, text in column_types(kind).items():
        empty: Any = {"str": "", "Printable": "", "int": 0, "float": 0.0, "bool": False, "dict": {}, "list": []}
        values[name] = None if "None" in text else empty.get(held(text), HOSTILE[held(text)])
    return kind(**{**values, **{name: getattr(hostile(kind), name) for name in kind.KEY}})


@pytest.fixture
def stores(place: str) -> Iterator[list[Store]]:
    """Everything that can open this catalogue."""
    open_catalogue(place).close()
    database = open_database(place)
    file = open_file(place)
    opened: list[Store] = [database] if file is None else [file, database]
    yield opened
    for store in opened:
        store.close()


def test_there_is_a_row_for_every_table() -> None:
    assert set(KINDS) == set(TABLES) == set(models.Table.metadata.tables)


@pytest.mark.parametrize("name", TABLES)
def test_a_row_has_the_columns_of_its_table(name: str) -> None:
    kind, table = KINDS[name], models.Table.metadata.tables[name]
    assert list(column_types(kind)) == [column.name for column in table.columns]
    assert tuple(column.name for column in table.primary_key) == kind.KEY
    for column, text in zip(table.columns, column_types(kind).values(), strict=True):
        assert column.primary_key or column.nullable == text.endswith(" | None"), column
        assert isinstance(column.type, Moment) == (held(text) == "datetime"), column
        assert isinstance(column.type, Document) == (held(text) in ("dict", "list", "Any")), column
        assert isinstance(column.type, PrintableText) == (held(text) == "Printable"), column
        assert isinstance(column.type, Boolean) == (held(text) == "bool"), column


@pytest.mark.parametrize("name", TABLES)
def test_a_row_has_the_defaults_of_its_table(name: str) -> None:
    kind, table = KINDS[name], TABLES[name]
    needed = {
        column: getattr(hostile(kind), column) for column, info in table.model_fields.items() if info.is_required()
    }
    made = kind(**needed)
    assert {column: getattr(made, column) for column in column_types(kind)} == table(**needed).model_dump()
    for column in needed:
        with pytest.raises(TypeError):
            kind(**{name: value for name, value in needed.items() if name != column})


def test_what_one_writes_all_read(stores: list[Store]) -> None:
    for kind, make in itertools.product(KINDS.values(), (hostile, sparse)):
        row = make(kind)
        values = {name: getattr(row, name) for name in column_types(kind)}
        conditions = {name: value for name, value in values.items() if not isinstance(value, list)}
        for writer in stores:
            with writer.writing() as statements:
                statements.remove(kind, {})
                statements.add(row)
            for reader in stores:
                with reader.reading() as statements:
                    assert statements.get(kind, *(values[name] for name in kind.KEY)) == row
                    assert statements.find(kind, conditions) == [row]
                    assert statements.values(kind, list(values)) == [tuple(values.values())]


def test_a_file_holds_what_earlier_versions_wrote(tmp_path: Path) -> None:
    place = tmp_path / "catalogue.db"
    with closing(open_catalogue(place)) as catalogue:
        catalogue.manifests.add(hostile(backups.KnownBackup))  # type: ignore[arg-type]
    with closing(sqlite3.connect(place)) as file:
        held = file.execute("SELECT created_at, backup_id, paths, encrypted, files FROM manifest").fetchall()
    text = '["\\udcff\\u0000","\\u91cd\\u8981"]'
    assert held == [("2026-11-22 18:00:00.000120", "重要\n文档", text, 1, 2**31 - 1)]


def test_text_that_databases_refuse_is_kept_as_escapes(stores: list[Store]) -> None:
    row = restore_rows.RestoreSessionRow(
        session_id="s", configuration="c", backup_id="b", snapshot_id="0", target="/t\0\udcff", started_at=NOW,
        updated_at=NOW,
    )  # fmt: skip
    for store in stores:
        with store.writing() as statements:
            statements.put(row)
            found = statements.get(restore_rows.RestoreSessionRow, "s")
        assert found is not None and found.target == "/t\\x00\\udcff"


def test_a_row_is_added_replaced_or_left(stores: list[Store]) -> None:
    for number, store in enumerate(stores):
        key = f"key {number}"
        with store.writing() as statements:
            statements.add(account_rows.AccountRow(key=key, shown="first"))
            statements.add_unless_there(account_rows.AccountRow(key=key, shown="second"))
            assert statements.find(account_rows.AccountRow, {"key": [key]})[0].shown == "first"
            statements.put(account_rows.AccountRow(key=key, shown="third"))
            assert statements.find(account_rows.AccountRow, {"key": {key, "another"}})[0].shown == "third"
            assert statements.find(account_rows.AccountRow, {"key": ()}) == []
            statements.put(account_rows.TrafficRow(account=key, month="2026-11", bytes_up=1 << 62))
            statements.put(account_rows.TrafficRow(account=key, month="2026-11", bytes_up=2))
            assert [row.bytes_up for row in statements.find(account_rows.TrafficRow, {"account": key})] == [2]
        with pytest.raises(CatalogueError), store.writing() as statements:
            statements.add(account_rows.AccountRow(key=f"new {key}"))
            statements.add(account_rows.AccountRow(key=key))
        with store.reading() as statements:
            assert statements.get(account_rows.AccountRow, f"new {key}") is None, "all of it is undone"


def test_a_reading_sees_one_state_and_keeps_nothing(tmp_path: Path) -> None:
    place = tmp_path / "catalogue.db"
    open_catalogue(place).close()
    file, database = open_file(place), open_database(place)
    assert file is not None
    for reader, writer in itertools.permutations((file, database), 2):
        name = type(reader).__name__
        with reader.reading() as seen:
            assert seen.get(rows.SettingRow, name) is None
            with writer.writing() as statements:
                statements.put(rows.SettingRow(key=name, value=1))
            assert seen.get(rows.SettingRow, name) is None
        with reader.reading() as seen:
            assert seen.get(rows.SettingRow, name) is not None
            seen.remove(rows.SettingRow, {})
        with reader.reading() as seen:
            assert seen.get(rows.SettingRow, name) is not None
    file.close()
    database.close()


def test_threads_and_forked_processes_have_connections_of_their_own(tmp_path: Path) -> None:
    place = tmp_path / "catalogue.db"
    with closing(open_catalogue(place)) as catalogue:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: catalogue.setups.set(str(number), number), range(40)))
        child = os.fork()
        if not child:
            os._exit(catalogue.setups.setting("7") != 7 or catalogue.setups.set("child", 1) is not None)
        assert os.waitpid(child, 0)[1] == 0
        assert [catalogue.setups.setting(str(number)) for number in range(40)] == list(range(40))
        assert catalogue.setups.setting("child") == 1


@pytest.mark.parametrize("name", TABLES)
def test_what_another_catalogue_sent_becomes_the_same_row(name: str) -> None:
    kind, plain = KINDS[name], {**HOSTILE, "dict": {}, "list": []}
    values = {column: plain[held(text)] for column, text in column_types(kind).items()}
    sent = {column: value.isoformat() if isinstance(value, datetime) else value for column, value in values.items()}
    assert checked(kind, json.loads(json.dumps({**sent, "of_tomorrow": 1}))) == kind(**values)
    for column in (column for column, info in TABLES[name].model_fields.items() if info.is_required()):
        with pytest.raises(ValueError, match="not whole"):
            checked(kind, {name: value for name, value in sent.items() if name != column})


@pytest.mark.parametrize(
    "values",
    [
        {"at": "yesterday"}, {"at": "2026-11-23T02:00:00"}, {"at": None}, {"at": 7}, {"plan_id": ["x"]},
        {"passed": 1}, {"passed": "yes"}, {"report": []}, {"id": "7"}, {"id": True}, {"kind": None},
    ],
)  # fmt: skip
def test_what_others_sent_is_refused_when_it_is_no_row(values: dict[str, Any]) -> None:
    sent = {"plan_id": "p", "kind": "test", "at": "2026-11-23T02:00:00Z", "passed": True}
    assert checked(disaster_rows.PlanEventRow, {**sent, "id": None}).passed
    with pytest.raises(ValueError):
        checked(disaster_rows.PlanEventRow, {**sent, **values})


@pytest.mark.parametrize("signs", [{}, [1], [{"a": 1}], [{"a": None}], "signs"])
def test_what_is_inside_a_document_is_looked_at(signs: Any) -> None:
    hold = {
        "snapshot_id": "0", "repository_id": "r", "backup_id": "b", "configuration": "c",
        "begun_at": "2026-11-23T02:00:00Z",
    }  # fmt: skip
    assert checked(retention_rows.HoldRow, {**hold, "signs": [{"a": "b"}]}).signs == [{"a": "b"}]
    with pytest.raises(ValueError, match="signs"):
        checked(retention_rows.HoldRow, {**hold, "signs": signs})
