"""The snippets on backups, one by one."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup_core.backup_manager import BackupManager
from backup_core.backup_service import BackupConfig, BackupExecutionError
from backup_core.errors import AccessDenied, ConfigError
from backup_core.testing.webdav_server import Answer, WebDAVServer
from backup_core.webdav_service import WebDAVService

NAME = "重要文档"


def test_add_config(backup_manager: BackupManager, config: BackupConfig) -> None:
    assert backup_manager.add_config(config) is True
    assert backup_manager.get_config(NAME) == config
    assert ", ".join(backup_manager.list_configs()) == NAME
    assert backup_manager.add_config(config) is True, "the scripts add it again at every start"
    assert backup_manager.remove_config(NAME) is True
    assert backup_manager.remove_config(NAME) is False
    assert backup_manager.get_config(NAME) is None


def test_a_configuration_needs_its_client(backup_manager: BackupManager, config: BackupConfig) -> None:
    config.target_client_id = "nowhere"
    with pytest.raises(ConfigError, match="nowhere"):
        backup_manager.add_config(config)


def test_manual_backup(backup_manager: BackupManager, backup_id: str, documents: Path) -> None:
    assert re.fullmatch(rf"{NAME}_\d{{8}}_\d{{6}}(_\d+)?", backup_id)
    (documents / "新.txt").write_text("新")
    second = backup_manager.manual_backup(NAME, backup_type="incremental")
    third = backup_manager.manual_backup(NAME, "incremental")
    assert len({backup_id, second, third}) == 3, "two runs in the same second do not collide"
    kinds = [(b.backup_id, b.backup_type, b.file_count) for b in backup_manager.list_backups(NAME)]
    assert kinds == [(third, "incremental", 8), (second, "incremental", 8), (backup_id, "full", 7)]


def test_the_first_incremental_says_that_it_became_full(backup_manager: BackupManager, config: BackupConfig) -> None:
    backup_manager.add_config(config)
    backup_id = backup_manager.manual_backup(NAME, "incremental")
    manifest = backup_manager.get_backup_manifest(backup_id)
    assert manifest is not None and manifest.backup_type == "full"


def test_validate_backup(backup_manager: BackupManager, backup_id: str) -> None:
    result = backup_manager.validate_backup(backup_id)
    assert result.is_valid
    assert (result.files_passed, result.files_checked) == (7, 7)
    assert list(result.errors) == []


def test_a_damaged_backup_is_named_with_its_files(
    backup_manager: BackupManager, backup_id: str, tmp_path: Path
) -> None:
    packs = sorted(
        (tmp_path / "dav" / "backups" / "data").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0
    )
    pack = packs[-1]
    content = bytearray(pack.read_bytes())
    content[40] ^= 1
    pack.write_bytes(content)
    assert backup_manager.validate_backup(backup_id).is_valid, "by its size alone it looks right"
    result = backup_manager.validate_backup(backup_id, depth="data")
    assert not result.is_valid and result.files_passed < result.files_checked
    assert any(pack.name[:8] in error for error in result.errors)
    pack.unlink()
    assert not backup_manager.validate_backup(backup_id).is_valid


def test_validate_all_backups(backup_manager: BackupManager, backup_id: str) -> None:
    second = backup_manager.manual_backup(NAME, "incremental")
    results = backup_manager.validate_all_backups(NAME)
    assert [(r.backup_id, r.is_valid) for r in results] == [(second, True), (backup_id, True)]
    assert sum(1 for r in backup_manager.validate_all_backups() if not r.is_valid) == 0


def test_storage_usage(backup_manager: BackupManager, backup_id: str) -> None:
    backup_manager.manual_backup(NAME, "incremental")
    usage = backup_manager.get_storage_usage()
    assert usage.total_backups == 2
    assert usage.total_size > 0
    assert usage.oldest_backup is not None and usage.newest_backup is not None
    assert usage.oldest_backup < usage.newest_backup <= datetime.now()
    info = usage.by_config[NAME]
    assert info["count"] == 2
    assert info["total_size"] == usage.total_size
    assert info["backup_types"] == {"full": 1, "incremental": 1}


def test_estimate_space(backup_manager: BackupManager, backup_id: str, documents: Path) -> None:
    (documents / "新.txt").write_text("新" * 100_000)
    estimate = backup_manager.estimate_space(NAME)
    sizes = [p.stat().st_size for p in documents.rglob("*") if p.suffix in (".txt", ".pdf", ".docx")]
    assert estimate["source_size"] == sum(sizes)
    assert 0 < estimate["estimated_incremental_size"] <= estimate["estimated_full_backup_size"]
    assert estimate["estimated_full_backup_size"] < estimate["source_size"]


def test_cleanup_old_backups(backup_manager: BackupManager, backup_id: str) -> None:
    ids = [backup_id, *(backup_manager.manual_backup(NAME, "incremental") for _ in range(3))]
    assert backup_manager.cleanup_old_backups(config_name=NAME, keep_count=10, keep_days=90) == 0
    planned = backup_manager.plan_cleanup(NAME, keep_count=2)
    assert [d.keep for d in planned] == [True, True, False, False] and all(d.reasons for d in planned)
    assert backup_manager.cleanup_old_backups(NAME, keep_count=2) == 2
    assert [b.backup_id for b in backup_manager.list_backups(NAME)] == ids[:1:-1]
    assert backup_manager.cleanup_old_backups(NAME, keep_days=30) == 0
    assert all(r.is_valid for r in backup_manager.validate_all_backups(NAME))


def test_a_cleanup_without_rules_or_with_wrong_ones_is_refused(
    backup_manager: BackupManager, backup_id: str, config: BackupConfig
) -> None:
    config.max_versions = None
    backup_manager.add_config(config)
    with pytest.raises(ConfigError, match="keep_count"):
        backup_manager.cleanup_old_backups(NAME)
    with pytest.raises(ConfigError, match="keep_days must be 1"):
        backup_manager.cleanup_old_backups(NAME, keep_days=-5)
    with pytest.raises(ConfigError, match="没有的"):
        backup_manager.cleanup_old_backups("没有的", keep_count=1)


def test_old_versions_go_by_themselves(backup_manager: BackupManager, config: BackupConfig) -> None:
    config.max_versions = 2
    backup_manager.add_config(config)
    ids = [backup_manager.manual_backup(NAME, "incremental") for _ in range(4)]
    assert [b.backup_id for b in backup_manager.list_backups(NAME)] == ids[:1:-1]
    config.auto_delete_old = False
    backup_manager.add_config(config)
    backup_manager.manual_backup(NAME, "incremental")
    assert len(backup_manager.list_backups(NAME)) == 3


def test_statistics(backup_manager: BackupManager, backup_id: str) -> None:
    stats = backup_manager.get_statistics(NAME)
    assert stats["backup_stats"]["total_backups"] == 1
    assert stats["backup_stats"]["total_size"] > 0
    last_backup_time = datetime.fromisoformat(stats["backup_stats"]["last_backup"])
    assert timedelta(0) <= datetime.now() - last_backup_time < timedelta(hours=1)
    assert stats["backup_stats"]["backup_types"] == {"full": 1, "incremental": 0}
    assert stats == {**backup_manager.get_statistics(), "config_name": NAME}
    for trend in stats["storage_usage"]["storage_trend"][-6:]:
        assert re.fullmatch(r"\d{4}-\d\d", trend["month"])
        assert trend["count"] == 1 and trend["size"] > 0


def test_recent_backups_are_told_by_subtraction(backup_manager: BackupManager, backup_id: str) -> None:
    recent = [b for b in backup_manager.list_backups() if (datetime.now() - b.created_at).days <= 7]
    assert [b.backup_id for b in recent] == [backup_id]


def test_unknown_names_are_clear(backup_manager: BackupManager, config: BackupConfig) -> None:
    backup_manager.add_config(config)
    with pytest.raises(ConfigError, match=f"没有的.*{NAME}"):
        backup_manager.manual_backup("没有的", "full")
    with pytest.raises(ConfigError, match="sideways"):
        backup_manager.manual_backup(NAME, "sideways")
    assert backup_manager.get_backup_manifest("没有的_20251031_020000") is None
    with pytest.raises(ConfigError, match="没有的"):
        backup_manager.validate_backup("没有的_20251031_020000")


def test_a_failed_backup_has_the_original_name(
    backup_manager: BackupManager, backup_id: str, documents: Path, dav: WebDAVServer
) -> None:
    dav.fault = lambda request: Answer("403 Forbidden") if request.method == "PUT" else None
    with pytest.raises(BackupExecutionError, match=NAME) as caught:
        backup_manager.manual_backup(NAME, "full")
    assert isinstance(caught.value.__cause__, AccessDenied) and not caught.value.transient
    dav.fault = None
    documents.rename(documents.with_name("moved"))
    with pytest.raises(BackupExecutionError, match="documents"):
        backup_manager.manual_backup(NAME, "full")
    runs = backup_manager.backup_service.runs(NAME)
    assert [run.outcome for run in runs] == ["failed", "failed", "completed"]
    assert [b.backup_id for b in backup_manager.list_backups(NAME)] == [backup_id]
    assert backup_manager.validate_backup(backup_id).is_valid


def test_scheduler(backup_manager: BackupManager, config: BackupConfig) -> None:
    backup_manager.add_config(config)
    backup_manager.start_scheduler()
    backup_manager.start_scheduler()
    backup_manager.stop_scheduler()
    backup_manager.stop_scheduler()


def test_parameters_have_the_original_names() -> None:
    def names(function: Callable[..., object]) -> list[str]:
        return list(inspect.signature(function).parameters)[1:]

    assert names(BackupManager.manual_backup)[:2] == ["config_name", "backup_type"]
    assert names(BackupManager.cleanup_old_backups) == ["config_name", "keep_count", "keep_days"]


def test_no_secret_reaches_the_disk(
    backup_manager: BackupManager, webdav_service: WebDAVService, backup_id: str, tmp_path: Path, dav
) -> None:
    backup_manager.validate_backup(backup_id)
    places = [tmp_path / "davault-home", tmp_path / "backup_metadata.db", tmp_path / "backup_metadata.db-wal"]
    files = [f for p in places for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert b"your-secret-key" not in content, file
        assert dav.password.reveal().encode() not in content, file
    assert dav.password.reveal() not in repr(webdav_service.get_client("cloud")) + repr(webdav_service.configurations())
    with sqlite3.connect(tmp_path / "backup_metadata.db") as connection:
        assert connection.execute("SELECT record FROM client").fetchone()
