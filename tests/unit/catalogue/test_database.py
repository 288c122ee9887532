"""Opening the catalogue: made once, kept private, shared by processes, and clear about what is wrong."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.all_models import models
from backup_core.catalogue.database import open_database
from backup_core.catalogue.migrations import HEAD
from backup_core.catalogue.rows import SettingRow
from backup_core.errors import CatalogueError

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def test_the_migrations_make_what_the_models_say(place: str) -> None:
    database = open_database(place)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, models.Table.metadata) == []
        assert context.get_current_revision() == HEAD
    database.close()


def test_opening_again_finds_what_was_kept(place: str) -> None:
    first = open_catalogue(place)
    first.setups.set("key", {"answer": [42]})
    first.close()
    second = open_catalogue(place)
    assert second.setups.setting("key") == {"answer": [42]}
    assert second.integrity() == []
    second.close()


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "catalogue.db"
    catalogue = open_catalogue(file)
    catalogue.setups.set("a", 1)
    for path in file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    catalogue.close()


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.db"
    open_catalogue(file).close()
    file.chmod(0o644)
    open_catalogue(file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_name_with_url_characters_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "元数据 ?#%20.db"
    open_catalogue(str(file)).close()
    assert file.exists()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.db"
    open_catalogue(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    with pytest.raises(CatalogueError, match="newer version"):
        open_catalogue(file)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(CatalogueError, match="another program"):
        open_catalogue(file)


@pytest.mark.parametrize("damage", [b"this is no database, it is a letter to grandmother. " * 100, None])
def test_a_damaged_file_is_explained(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "catalogue.db"
    open_catalogue(file).close()
    if damage is None:
        content = bytearray(file.read_bytes())
        content[100:8192] = b"\xff" * (8192 - 100)
        file.write_bytes(content)
    else:
        file.write_bytes(damage)
    with pytest.raises(CatalogueError, match=r"damaged.*rebuilt from the server"):
        open_catalogue(file)


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueError, match="cannot be written"):
        open_catalogue(tmp_path / "file" / "catalogue.db")
    with pytest.raises(CatalogueError, match="cannot be written"):
        open_catalogue(tmp_path)


@pytest.mark.parametrize("url", ["nonsense://x/y", "://", "mysql+nothing://x/y"])
def test_a_url_that_means_nothing(url: str) -> None:
    with pytest.raises(CatalogueError):
        open_catalogue(url)


def test_passwords_of_a_url_are_not_told() -> None:
    with pytest.raises(CatalogueError) as caught:
        open_catalogue("postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


def test_what_fails_in_a_block_is_undone(place: str) -> None:
    database = open_database(place)
    with pytest.raises(ZeroDivisionError), database.writing() as statements:
        statements.add(SettingRow(key="a", value=1))
        _ = 1 / 0
    with database.reading() as statements:
        assert statements.get(SettingRow, "a") is None
    database.close()


def _count_up(place: str, barrier: object, name: str) -> None:
    barrier.wait()
    catalogue = open_catalogue(place)
    for number in range(30):
        catalogue.setups.set(f"{name} {number}", number)
        catalogue.setups.save_client(name, {"n": number}, NOW)
        catalogue.setups.clients()
    catalogue.close()


def test_processes_share_it_from_the_very_first_moment(place: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_count_up, args=(place, barrier, f"p{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    catalogue = open_catalogue(place)
    assert all(catalogue.setups.setting(f"p{n} {i}") == i for n in range(3) for i in range(30))
    catalogue.close()


def test_a_second_opening_takes_away_no_locks(tmp_path: Path) -> None:
    place = tmp_path / "catalogue.db"

    def elsewhere(act: str) -> str:
        script = (
            f"from backup_core.catalogue import open_catalogue; c = open_catalogue({str(place)!r}); {act}; c.close()"
        )
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    first = open_catalogue(place)
    first.setups.set("a", 1)
    open_catalogue(place).close()
    # A process that comes and goes removes the log of writes as soon as it thinks itself alone.
    elsewhere("c.setups.set('a', 2)")
    first.setups.set("b", 3)
    assert elsewhere("print(c.setups.setting('b'))") == "3\n"
    first.close()
