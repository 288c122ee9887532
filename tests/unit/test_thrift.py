"""What tests save must not change what they test."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.format import kdf
from backup_core.format.key_file import KeyFile
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.thrift import at_full_cost
from backup_core.types import Secret


def _cost(clock: ManualClock) -> kdf.ScryptParameters:
    server = MemoryBackend()
    Repository.create(server, Secret("pw"), clock=clock, random_bytes=random.Random(1).randbytes).close()
    (name,) = (name for name in server.objects if name.startswith("keys/"))
    return KeyFile.decode(server.objects[name]).parameters


def _dump(database: Path) -> list[str]:
    open_catalogue(database).close()
    with closing(sqlite3.connect(database)) as connection:
        return [*connection.iterdump(), str(connection.execute("PRAGMA journal_mode").fetchone())]


def test_a_catalogue_made_by_copying_is_one_made_by_migrating(tmp_path: Path) -> None:
    _dump(tmp_path / "the first of this process, perhaps")
    copied = _dump(tmp_path / "copied")
    with at_full_cost():
        assert _dump(tmp_path / "migrated") == copied


@pytest.mark.usefixtures("full_cost")
def test_in_production_a_key_costs_what_restics_cost(clock: ManualClock) -> None:
    found = _cost(clock)
    assert (found.n, found.r, found.p) == (32768, 8, 3)


def test_in_tests_it_costs_next_to_nothing(clock: ManualClock) -> None:
    assert _cost(clock).n == 2
