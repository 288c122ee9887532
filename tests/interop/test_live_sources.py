"""A living PostgreSQL server and a living SQLite database, backed up together, restored, and asked questions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import BackupExecutionError
from backup_core.services.application import Application, open_application
from backup_core.testing.webdav_server import WebDAVServer

KEY = "correct horse"
QUESTION = "SELECT count(*), sum(amount), max(note) FROM orders"


@pytest.fixture
def shop(postgresql: str) -> Iterator[str]:
    """URL of a database with something in it."""
    if shutil.which("pg_dump") is None or shutil.which("psql") is None:
        pytest.skip("the client programs of PostgreSQL are not installed")
    sql(postgresql, "CREATE DATABASE shop")
    url = postgresql.rpartition("/")[0] + "/shop"
    sql(url, "CREATE TABLE orders (id serial PRIMARY KEY, amount int, note text)")
    sql(
        url,
        "INSERT INTO orders (amount, note) SELECT n, 'Größe 重要 ' || md5(n::text) FROM generate_series(1, 20000) n",
    )
    yield url
    sql(postgresql, "DROP DATABASE shop WITH (FORCE)")


def sql(url: str, text: str) -> str:
    words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--set", "ON_ERROR_STOP=1", url, "--command", text]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def app(tmp_path: Path, dav: WebDAVServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("SHOP_KEY", KEY)
    monkeypatch.setenv("SHOP_PASSWORD", dav.password.reveal())
    with open_application(tmp_path / "home") as application:
        application.add_client(
            ClientConfig(name="cloud", url=dav.url, username=dav.username, password="env:SHOP_PASSWORD")
        )
        yield application


def configure(app: Application, source: Path, command: Any) -> None:
    app.add_config(
        BackupConfig(
            name="shop",
            source_paths=[str(source)],
            target_client_id="cloud",
            target_path="/backups",
            encrypt_key="env:SHOP_KEY",
            command_sources=[{"name": "dumps/shop.sql", "command": command}],
        ),
        replace=True,
    )


def test_databases_come_back_with_what_was_in_them(
    app: Application, shop: str, tmp_path: Path, dav: WebDAVServer, restic_old: Any, postgresql: str
) -> None:
    source = tmp_path / "srv"
    source.mkdir()
    with closing(sqlite3.connect(source / "carts.db", isolation_level=None)) as carts:
        carts.execute("PRAGMA journal_mode=wal")
        carts.execute("CREATE TABLE carts (id INTEGER)")
        carts.executemany("INSERT INTO carts VALUES (?)", [(n,) for n in range(1000)])
        configure(app, source, ["pg_dump", "--dbname", shop])
        first = app.backup("shop")
        assert not first.problems
        sql(shop, "UPDATE orders SET amount = amount + 1 WHERE id % 2 = 0")
        expected = sql(shop, QUESTION)
        second = app.backup("shop")
        assert second.backup_type == "incremental" and not second.problems
    assert app.validate([second.backup_id], depth="data")[0].is_valid

    app.restore("shop", target=tmp_path / "back")
    sql(postgresql, "CREATE DATABASE restored")
    again = postgresql.rpartition("/")[0] + "/restored"
    with (tmp_path / "back" / "shop.sql").open("rb") as dump:
        subprocess.run(["psql", "--quiet", "--set", "ON_ERROR_STOP=1", again], stdin=dump, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    assert sql(again, QUESTION) == expected
    sql(postgresql, "DROP DATABASE restored WITH (FORCE)")
    with closing(sqlite3.connect(tmp_path / "back" / "srv" / "carts.db")) as carts:
        assert carts.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert carts.execute("SELECT count(*), sum(id) FROM carts").fetchone() == (1000, 499_500)

    # And restic takes both for ordinary files.
    repository = dav.root / "backups"
    restic_old.check(repository, KEY)
    dump_text = restic_old.run(
        "dump", second.snapshot_id, "/dumps/shop.sql", repository=repository, password=KEY
    ).stdout
    assert dump_text == (tmp_path / "back" / "shop.sql").read_text()


def test_a_dump_that_is_cut_is_no_backup(app: Application, shop: str, tmp_path: Path) -> None:
    source = tmp_path / "srv"
    source.mkdir()
    (source / "file").write_text("x")
    configure(app, source, f"pg_dump --dbname {shop} | head -c 100000; kill -9 $$")
    with pytest.raises(BackupExecutionError, match="was ended by signal 9"):
        app.backup("shop")
    configure(app, source, ["pg_dump", "--dbname", shop + "-that-is-not-there"])
    with pytest.raises(BackupExecutionError, match="does not exist"):
        app.backup("shop")
    assert app.backups("shop", refresh=True) == []
