"""What is seen at a glance is what the catalogue says, and whatever is unusual is left to the catalogue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.glance import glance_at
from backup_core.catalogue.models import ManifestTable
from backup_core.catalogue.rows import ValidationRow

MOMENT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "目录 #1?" / "catalogue.db")


@pytest.fixture
def catalogue(place: str) -> Iterator[Catalogue]:
    with closing(open_catalogue(place)) as opened:
        yield opened


def _filled(catalogue: Catalogue) -> None:
    for number, name in enumerate(("文档", "", "nul\0 and \udcff")):
        catalogue.manifests.add(
            KnownBackup(
                snapshot_id=f"{number:064x}",
                repository_id="r",
                backup_id=f"{name}_{number}",
                configuration=name,
                backup_type="full",
                created_at=MOMENT + timedelta(microseconds=number % 2),
                files=1 << 40,
                directories=number,
                total_size=1 << 50,
                data_added=2,
                stored_size=3,
                parent="p" * number,
                hostname="机器",
                paths=["/\udcff", "/二"][:number],
                tags=["a b"] * number,
                encrypted=bool(number),
                problems=number,
            )
        )
        catalogue.history.add_validation(
            ValidationRow(
                backup_id="b", snapshot_id=f"{number:064x}", configuration="文档", depth="quick",
                started_at=MOMENT + timedelta(days=number), is_valid=number != 1,
            )
        )  # fmt: skip
    for name in ("b", "a"):
        catalogue.setups.save_configuration(name, {}, MOMENT, client="云", target_path="/备份")
    catalogue.setups.set("of:a", {"id": 1})
    catalogue.setups.set("other", 2)


def test_it_agrees_with_the_catalogue(catalogue: Catalogue, place: str) -> None:
    _filled(catalogue)
    seen = glance_at(Path(place), settings="of:")
    assert seen is not None
    assert seen.backups == catalogue.manifests.listed() != []
    assert set(asdict(seen.backups[0])) == set(ManifestTable.model_fields)
    assert seen.validated == catalogue.history.last_good_validations()
    assert [(c.name, c.client, c.target_path) for c in seen.configurations] == [
        ("a", "云", "/备份"),
        ("b", "云", "/备份"),
    ]
    assert seen.settings == {"of:a": {"id": 1}}


def test_what_is_unusual_is_left_to_the_catalogue(catalogue: Catalogue, place: str, tmp_path: Path) -> None:
    assert glance_at(Path(place), settings="") is not None
    assert glance_at(tmp_path / "none.db", settings="") is None
    assert not (tmp_path / "none.db").exists()
    assert glance_at(tmp_path, settings="") is None
    (tmp_path / "damaged.db").write_bytes(b"no database" * 1000)
    assert glance_at(tmp_path / "damaged.db", settings="") is None
    with closing(sqlite3.connect(place)) as file, file:
        file.execute("UPDATE alembic_version SET version_num = 'initial'")
    assert glance_at(Path(place), settings="") is None


def test_it_sees_what_another_process_is_about_to_write_only_when_written(catalogue: Catalogue, place: str) -> None:
    _filled(catalogue)
    with closing(sqlite3.connect(place, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        file.execute("DELETE FROM manifest")
        seen = glance_at(Path(place), settings="")
        assert seen is not None and len(seen.backups) == 3
        file.execute("COMMIT")
        seen = glance_at(Path(place), settings="")
        assert seen is not None and seen.backups == []
