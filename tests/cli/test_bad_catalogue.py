"""A catalogue that cannot be used: a clear message, an exit code, and nothing lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.home import Home


@pytest.fixture
def catalogue(davault, docs: str) -> Path:
    """The file of a catalogue that knows one backup of "docs"."""
    davault("backup", docs)
    return Home.from_environment().catalogue


def _stored(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "store"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_one_of_a_newer_version(davault, docs: str, catalogue: Path, tmp_path: Path) -> None:
    with sqlite3.connect(catalogue) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.close()
    before, stored = catalogue.read_bytes(), _stored(tmp_path)
    for words in (["list"], ["backup", docs], ["cleanup", docs, "--keep-last", "1", "--yes"], ["prune", docs]):
        ended = davault(*words, code=9)
        assert "written by a newer version" in ended.stderr and "Traceback" not in ended.stderr
    assert davault("list", "--json", code=9).document["error"]["kind"] == "CatalogueError"
    assert (catalogue.read_bytes(), _stored(tmp_path)) == (before, stored)


@pytest.mark.parametrize("damage", ["letter", "page", "empty page"])
def test_a_damaged_one_is_moved_away_and_rebuilt(
    davault, docs: str, catalogue: Path, tmp_path: Path, source: Path, damage: str
) -> None:
    for log in catalogue.parent.glob("catalogue.db-*"):
        log.unlink()
    content = bytearray(catalogue.read_bytes())
    if damage == "letter":
        content[:] = b"Dear grandmother, this is no database. " * 300
    else:
        content[100:12288] = (b"\xff" if damage == "page" else b"\0") * (12288 - 100)
    catalogue.write_bytes(content)
    stored = _stored(tmp_path)
    for words in (["list"], ["backup", docs], ["prune", docs]):
        ended = davault(*words, code=9)
        assert "it is damaged" in ended.stderr and "rebuilt from the server" in ended.stderr
    assert _stored(tmp_path) == stored
    assert catalogue.read_bytes() == content, "what is left of it stays for those who can read it"

    for file in catalogue.parent.glob("catalogue.db*"):
        file.rename(file.with_name("damaged-" + file.name))
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri())
    davault("config", "add", docs, "--client", "disk", "--path", "/backups", "--source", source,
            "--key-env", "REPOSITORY_KEY")  # fmt: skip
    assert len(davault("list", docs, "--json").document["backups"]) == 1


@pytest.fixture(params=["by its rights", "by its file system"])
def read_only(request: pytest.FixtureRequest, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The catalogue, which nobody may write."""
    if request.param == "by its file system":
        honest = os.access

        def refusing(path: Any, mode: int) -> bool:
            return not (Path(path) == catalogue and mode & os.W_OK) and honest(path, mode)

        monkeypatch.setattr("backup_core.catalogue.sqlite_file.os.access", refusing)
        yield catalogue
        return
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    catalogue.chmod(0o400)
    yield catalogue
    catalogue.chmod(0o600)


def test_one_that_may_not_be_written(davault, docs: str, read_only: Path, tmp_path: Path) -> None:
    stored, before = _stored(tmp_path), read_only.read_bytes()
    for words in (
        ["list", "--refresh"],
        ["usage", "--refresh"],
        ["backup", docs],
        ["cleanup", docs, "--keep-last", "1", "--yes"],
    ):
        ended = davault(*words, code=9)
        assert "cannot be written" in ended.stderr and "Traceback" not in ended.stderr
        assert str(read_only) in ended.stderr
    for words in (["list"], ["usage"], ["stats"]):
        davault(*words)  # what only reads is told all the same
    assert (_stored(tmp_path), read_only.read_bytes()) == (stored, before)


def test_a_directory_in_its_place(davault, docs: str, catalogue: Path) -> None:
    for file in catalogue.parent.glob("catalogue.db*"):
        file.unlink()
    catalogue.mkdir()
    assert "cannot be written" in davault("list", code=9).stderr
