"""SQLite databases that are written while they are backed up come back whole, and only changed ones are read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine import read_ahead, source_content
from backup_core.engine.live import database_copy
from backup_core.engine.source import Found, list_directory
from backup_core.results import Outcome

WRITER = """
import random, sqlite3, sys
path = sys.argv[1]
db = sqlite3.connect(path, timeout=60, isolation_level=None)
chance = random.Random(5)
db.execute("PRAGMA synchronous=OFF")
print("ready", flush=True)
number = 1000
while True:
    number += 1
    db.execute("BEGIN IMMEDIATE")
    amount = chance.randrange(100)
    db.execute("UPDATE accounts SET amount = amount - ? WHERE id = 1", (amount,))
    db.execute("INSERT INTO log VALUES (?, ?)", (number, chance.randbytes(3000)))
    db.execute("UPDATE accounts SET amount = amount + ? WHERE id = 2", (amount,))
    db.execute("UPDATE counter SET rows = rows + 1")
    db.execute("COMMIT")
"""


def make(path: Path, mode: str = "wal", rows: int = 300) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.executescript(
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER); CREATE TABLE log (id INTEGER, text BLOB);"
            "CREATE TABLE counter (rows INTEGER); CREATE INDEX by_id ON log (id);"
            "INSERT INTO accounts VALUES (1, 1000), (2, 1000);"
        )
        db.executemany("INSERT INTO log VALUES (?, ?)", [(n, os.urandom(2000)) for n in range(rows)])
        db.execute("INSERT INTO counter VALUES (?)", (rows,))
        db.commit()
    return path


def assert_consistent(content: bytes, place: Path) -> int:
    """How many rows it has."""
    place.write_bytes(content)
    with closing(sqlite3.connect(place)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT sum(amount) FROM accounts").fetchone() == (2000,)
        rows = db.execute("SELECT count(*) FROM log").fetchone()[0]
        assert db.execute("SELECT rows FROM counter").fetchone() == (rows,)
    return int(rows)


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            writer.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "notes-journal").write_text("no database is called notes")
    return tmp_path / "app"


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("start_method", ["thread", "fork"])
def test_a_database_under_write_load_is_stored_in_a_consistent_state(
    bench: Any, folder: Path, tmp_path: Path, mode: str, start_method: str
) -> None:
    path = make(folder / "shop.db", mode)
    rows = []
    with being_written(path):
        for _ in range(2):
            done = bench.back_up(folder, start_method=start_method)
            assert done.outcome is Outcome.COMPLETED, done.problems
            contents = bench.contents(done, folder)
            # What lies beside the database must not lie beside the copy.
            assert sorted(contents) == ["notes-journal", "shop.db"]
            rows.append(assert_consistent(contents["shop.db"], tmp_path / f"restored{len(rows)}.db"))
    assert rows[0] >= 300 and rows == sorted(rows)
    node = bench.nodes(done, folder)["shop.db"]
    assert (node.uid, node.inode) == (path.stat().st_uid, path.stat().st_ino)
    assert not list((tmp_path / "cache" / bench.repository.id / "tmp").iterdir())


@contextmanager
def held_open(path: Path) -> Iterator[sqlite3.Connection]:
    """In another process' place: nothing is written into the file itself, and the log stays."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    try:
        yield db
    finally:
        db.close()


def test_what_is_only_in_the_log_is_stored_and_noticed(bench: Any, folder: Path, tmp_path: Path) -> None:
    path = make(folder / "shop.db")
    bench.back_up(folder)
    with held_open(path) as db:
        before = path.stat()
        db.execute("INSERT INTO log VALUES (7000, 'x')")
        db.execute("UPDATE counter SET rows = rows + 1")
        assert path.stat().st_mtime_ns == before.st_mtime_ns  # the file itself has not changed
        done = bench.back_up(folder)
        assert (done.files_changed, done.files_unchanged) == (1, 1)
        assert assert_consistent(bench.contents(done, folder)["shop.db"], tmp_path / "r.db") == 301
        assert bench.nodes(done, folder)["shop.db"].mtime_ns == before.st_mtime_ns


def test_an_unchanged_database_is_not_copied_again(
    bench: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(folder / "shop.db")
    with held_open(path) as db:
        for number in range(20):
            db.execute("INSERT INTO log VALUES (?, randomblob(5000))", (number,))
        db.execute("UPDATE counter SET rows = rows + 20")
        first = bench.back_up(folder)
        assert bench.nodes(first, folder)["shop.db"].size > path.stat().st_size
        with monkeypatch.context() as patch:
            patch.setattr(source_content.ContentReader, "store_database", refuse)
            again = bench.back_up(folder)
        assert (again.files_unchanged, again.files_changed, again.data_added) == (2, 0, 0)
        assert bench.snapshot(again).tree == bench.snapshot(first).tree
        # A full backup copies it again, and stores nothing new: copies of one state are equal.
        full = bench.back_up(folder, kind="full")
        assert (full.files_unchanged, full.data_added) == (2, 0)
        db.execute("DELETE FROM log WHERE id < 7")
        assert bench.back_up(folder).files_changed == 1


def refuse(*_: object) -> None:
    raise AssertionError("a database was copied")


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_what_a_crashed_program_left_is_applied_to_the_copy_only(
    bench: Any, folder: Path, tmp_path: Path, mode: str
) -> None:
    crashed = tmp_path / "crashed.db"
    make(crashed, mode)
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA cache_size=5")  # so that changed pages reach the file before the commit
        db.execute("BEGIN")
        db.execute("UPDATE accounts SET amount = amount + 1")
        db.execute("UPDATE log SET text = randomblob(2000)")
        if mode == "wal":
            db.execute("UPDATE accounts SET amount = 1000")
            db.execute("COMMIT")
        for suffix in ("", "-wal", "-journal"):
            if Path(f"{crashed}{suffix}").exists():
                shutil.copyfile(f"{crashed}{suffix}", f"{folder}/shop.db{suffix}")
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert len(before) == 3
    done = bench.back_up(folder)
    assert done.outcome is Outcome.COMPLETED, done.problems
    assert assert_consistent(bench.contents(done, folder)["shop.db"], tmp_path / "r.db") == 300
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before


@pytest.mark.parametrize(("owner", "told"), [("shop.db", []), ("notes.txt", ["vanished"])])
def test_a_journal_that_is_gone_before_it_was_looked_at_is_no_problem(
    bench: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: str, told: list[str]
) -> None:
    make(folder / "shop.db", "delete")
    (folder / "notes.txt").write_text("no database")
    gone = (os.fsencode(f"{owner}-journal"), FileNotFoundError(2, "No such file or directory"))

    def listed_too_late(path: bytes) -> tuple[list[Found], list[tuple[bytes, OSError]]]:
        found, failed = list_directory(path)
        return found, [*failed, gone] if path == os.fsencode(folder) else failed

    monkeypatch.setattr(read_ahead, "list_directory", listed_too_late)
    assert [p.kind for p in bench.back_up(folder).problems] == told


def test_a_single_database_may_be_a_source(bench: Any, folder: Path, tmp_path: Path) -> None:
    path = make(folder / "shop.db")
    with held_open(path) as db:
        db.execute("INSERT INTO log VALUES (7000, 'x')")
        db.execute("UPDATE counter SET rows = rows + 1")
        done = bench.back_up(path)
        assert assert_consistent(bench.content(bench.nodes(done, folder)["shop.db"]), tmp_path / "r.db") == 301
        assert bench.back_up(path).files_unchanged == 1


def test_a_large_database_is_copied_as_a_whole(bench: Any, folder: Path, tmp_path: Path) -> None:
    path = make(folder / "large.db", "delete", rows=18_000)
    assert path.stat().st_size > 32 << 20
    with being_written(path):
        done = bench.back_up(folder)
    assert done.outcome is Outcome.COMPLETED, done.problems
    assert assert_consistent(bench.contents(done, folder)["large.db"], tmp_path / "r.db") >= 18_000


def test_without_room_for_a_copy_the_file_is_kept_as_read_and_that_is_told(
    bench: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_copy, "_SPARE", 1 << 60)
    path = make(folder / "shop.db", "delete")
    done = bench.back_up(folder)
    assert [(p.kind, p.path) for p in done.problems] == [("unsettled", str(path))]
    assert "no room for a copy" in done.problems[0].message
    assert bench.contents(done, folder)["shop.db"] == path.read_bytes()


def test_what_only_looks_like_a_database_is_an_ordinary_file(bench: Any, folder: Path) -> None:
    fake = b"SQLite format 3\0" + bytes(2) + b"\1\1" + os.urandom(4000)
    (folder / "fake.db").write_bytes(fake)
    done = bench.back_up(folder)
    assert done.outcome is Outcome.COMPLETED, done.problems
    assert bench.contents(done, folder)["fake.db"] == fake
    # With company it may have been one, which is worth telling.
    (folder / "fake.db-wal").write_bytes(b"x")
    os.utime(folder / "fake.db")
    told = bench.back_up(folder).problems
    assert [p.kind for p in told] == ["unsettled"]


def test_databases_can_be_read_like_other_files(bench: Any, folder: Path, tmp_path: Path) -> None:
    with held_open(make(folder / "shop.db")) as db:
        db.execute("INSERT INTO log VALUES (7000, 'x')")
        done = bench.back_up(folder, sqlite=False)
        names = ["notes-journal", "shop.db", "shop.db-shm", "shop.db-wal"]
        assert sorted(bench.contents(done, folder)) == names


def test_names_that_need_quoting(bench: Any, folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"we?ird %41#\xff name.db")
    with being_written(make(folder / name, "wal")):
        done = bench.back_up(folder)
    assert done.outcome is Outcome.COMPLETED, done.problems
    assert_consistent(bench.contents(done, folder)[name], tmp_path / "r.db")
