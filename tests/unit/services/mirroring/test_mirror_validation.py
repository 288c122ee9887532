"""Validating the copies in a mirror."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError
from backup_core.services.application import Application


@pytest.fixture
def mirrored(app: Application, configured: Callable[..., BackupConfig], tmp_path: Path) -> BackupConfig:
    app.add_client(ClientConfig(name="盘", url=str(tmp_path / "盘")))
    made = configured()
    app.backup(made.name)
    app.mirroring.run(made.name, to="盘")
    return made


def mirror_files(tmp_path: Path, directory: str) -> list[Path]:
    return [path for path in (tmp_path / "盘" / "备份" / directory).rglob("*") if path.is_file()]


@pytest.mark.parametrize("depth", ["quick", "data", "restore"])
def test_a_whole_mirror_is_found_whole_though_the_first_place_is_gone(
    app: Application, mirrored: BackupConfig, tmp_path: Path, depth: Literal["quick", "data", "restore"]
) -> None:
    shutil.rmtree(tmp_path / "store")
    (result,) = app.validate(config_name=mirrored.name, mirror="盘", depth=depth)
    assert result.is_valid
    assert result.files_checked == 2


def test_damage_in_the_mirror_is_found_there_and_not_in_the_first_place(
    app: Application, mirrored: BackupConfig, tmp_path: Path
) -> None:
    for path in mirror_files(tmp_path, "data"):
        path.unlink()
    (result,) = app.validate(config_name=mirrored.name, mirror="盘:/备份")
    assert not result.is_valid
    assert len(result.damaged_files) == 2
    assert all(r.is_valid for r in app.validate(config_name=mirrored.name))
    # Copying again with a look at what is there mends it.
    app.mirroring.run(mirrored.name, check=True)
    assert all(r.is_valid for r in app.validate(config_name=mirrored.name, mirror="盘", depth="data"))


def test_a_snapshot_of_the_mirror_that_cannot_be_read_is_told(
    app: Application, mirrored: BackupConfig, tmp_path: Path
) -> None:
    shutil.rmtree(app.home.cache)
    for path in mirror_files(tmp_path, "snapshots"):
        path.chmod(0o600)
        path.write_bytes(b"\0" * 300)
    (result,) = app.validate(config_name=mirrored.name, mirror="盘")
    assert not result.is_valid


def test_single_copies_can_be_checked_and_unknown_ones_are_refused(app: Application, mirrored: BackupConfig) -> None:
    backup = app.backups(mirrored.name)[0]
    (result,) = app.validate([backup.backup_id], config_name=mirrored.name, mirror="盘")
    assert result.is_valid
    with pytest.raises(ConfigError, match="does not hold: nothing"):
        app.validate(["nothing"], config_name=mirrored.name, mirror="盘")
    with pytest.raises(ConfigError, match="has no mirror at 月"):
        app.validate(config_name=mirrored.name, mirror="月")
    with pytest.raises(ConfigError, match="say which one"):
        app.validate(mirror="盘")
