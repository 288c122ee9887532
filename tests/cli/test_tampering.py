"""Somebody with the account's password deletes backups or puts an older state back: ``validate`` and ``health`` tell.

And they tell nothing where a person removed backups on purpose, on whichever machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Davault


class Server:
    """What lies on the server, as somebody sees it who has the account's password and no key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def steal(self, snapshot_id: str) -> None:
        (self.root / "snapshots" / snapshot_id).unlink()

    def roll_back(self, before: Path) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(before, self.root)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "store" / "backups")


@pytest.fixture
def backups(davault: Davault, docs: str, source: Path, server: Server, tmp_path: Path) -> list[str]:
    """Snapshot ids of two backups; the server as it was between them is in ``between``."""
    made = [davault("backup", docs, "--json").document["snapshot_id"]]
    shutil.copytree(server.root, tmp_path / "between")
    (source / "report.pdf").write_text("anew")
    return [*made, davault("backup", docs, "--json").document["snapshot_id"]]


def another_machine(davault: Davault, tmp_path: Path, source: Path, name: str) -> tuple[object, ...]:
    """A home that was set up by hand, without what the first one knows; its options."""
    home = ("--home", tmp_path / "other home")
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri(), *home)
    davault("config", "add", name, "--client", "disk", "--path", "/backups", "--source", source,
            "--key-env", "REPOSITORY_KEY", *home)  # fmt: skip
    return home


def told(davault: Davault, *home: object) -> tuple[set[str], int]:
    """The snapshots that ``validate`` says have vanished, and the number that ``health`` tells."""
    results = davault("validate", "--all", "--json", *home, code=None).document["results"]
    errors = [error for result in results for error in result["errors"] if "nobody recorded forgetting it" in error]
    checks = davault("health", "--json", *home, code=None).document["checks"]
    counts = [int(check["value"]) for check in checks if check["check"] == "vanished"]
    return {error.partition("(snapshot ")[2][:8] for error in errors}, sum(counts)


def test_deletion_and_an_older_state_are_told_where_the_backups_were_known(
    davault, backups, server, tmp_path: Path
) -> None:
    now = tmp_path / "now"
    shutil.copytree(server.root, now)
    for snapshot in backups:
        server.steal(snapshot)
        assert "are gone, and nobody recorded forgetting them" in davault("health", code=3).stdout
        davault("validate", "--all", code=4)
        assert told(davault) == ({snapshot[:8]}, 1)
        server.roll_back(now)
        assert told(davault) == (set(), 0)  # it is back, so nothing is gone
    server.roll_back(tmp_path / "between")  # with the records of that time
    davault("health", code=3)
    assert told(davault) == ({backups[1][:8]}, 1)


def test_without_the_catalogue_the_records_tell(davault, docs, backups, server, source: Path, tmp_path: Path) -> None:
    for snapshot in backups:
        server.steal(snapshot)
    home = another_machine(davault, tmp_path, source, "papers")
    davault("health", *home, code=3)
    assert told(davault, *home) == ({snapshot[:8] for snapshot in backups}, 2)
    davault("vanished", "--accept", backups[0][:8], "--accept", backups[1][:8], *home)
    assert told(davault, *home) == (set(), 0)
    shutil.rmtree(tmp_path / "davault-home")
    url = (tmp_path / "store").as_uri()
    davault("recover", "--url", url, "--path", "/backups", "--key-env", "REPOSITORY_KEY", code=4)
    assert told(davault) == ({snapshot[:8] for snapshot in backups}, 2)


def test_what_is_removed_on_purpose_is_no_alarm_on_any_machine(
    davault, docs, backups, server, source: Path, tmp_path: Path
) -> None:
    home = another_machine(davault, tmp_path, source, "docs")
    davault("cleanup", "docs", "--keep-last", "1", "--yes", *home)
    assert told(davault) == told(davault, *home) == (set(), 0)
    assert [path.name for path in (server.root / "snapshots").iterdir()] == [backups[1]]
    packs = [path for path in (server.root / "data").rglob("*") if path.is_file()]
    max(packs, key=lambda path: path.stat().st_size).unlink()
    davault("repair", "index", docs)
    davault("repair", "snapshots", docs, "--forget", code=4)
    assert backups[1] not in {path.name for path in (server.root / "snapshots").iterdir()}
    assert told(davault) == told(davault, *home) == (set(), 0)
