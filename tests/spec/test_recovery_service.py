"""The snippets on recovery and on disaster recovery, one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup_core.backup_manager import BackupManager
from backup_core.backup_service import BackupConfig
from backup_core.errors import ConfigError
from backup_core.recovery_service import DisasterRecoveryPlan, RecoveryService, create_recovery_service

NAME = "重要文档"


def texts(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def included(documents: Path) -> dict[str, str]:
    return {k: v for k, v in texts(documents).items() if k.endswith((".txt", ".pdf", ".docx"))}


def test_one_click_restore(recovery_service, backup_id, documents, tmp_path, finished) -> None:
    session_id = recovery_service.one_click_restore(config_name=NAME, target_path=str(tmp_path / "恢复"))
    progress = finished(session_id)
    assert progress.status.value == "completed", progress
    assert (progress.processed_files, progress.total_files) == (7, 7)
    assert progress.processed_size == sum(len(t.encode()) for t in included(documents).values())
    assert texts(tmp_path / "恢复" / "documents") == included(documents)
    assert progress.backup_id == backup_id and progress.percent == 100


def test_point_in_time(backup_manager, recovery_service, backup_id, documents, tmp_path, finished) -> None:
    first = backup_manager.get_backup_manifest(backup_id)
    before = included(documents)
    (documents / "说明.txt").write_text("changed")
    backup_manager.manual_backup(NAME, "incremental")
    session_id = recovery_service.one_click_restore(
        config_name=NAME, target_path=str(tmp_path / "out"), point_in_time=first.created_at
    )
    assert finished(session_id).backup_id == backup_id
    assert texts(tmp_path / "out" / "documents") == before
    with pytest.raises(ConfigError, match="after the time"):
        recovery_service.one_click_restore(NAME, tmp_path / "x", datetime.now() - timedelta(days=7))


def test_list_recovery_points(backup_manager, recovery_service, backup_id) -> None:
    second = backup_manager.manual_backup(NAME, "incremental")
    points = recovery_service.list_recovery_points(NAME)
    assert [p.backup_id for p in points] == [second, backup_id]
    for point in points[:10]:
        assert point.created_at <= datetime.now() and point.total_size > 0 and point.file_count == 7
        assert point.backup_type in ("full", "incremental")
    assert recovery_service.list_recovery_points(NAME, days=1) == points
    assert recovery_service.list_recovery_points(NAME, 0) == []
    assert recovery_service.get_recovery_point(backup_id) == points[1]
    assert recovery_service.get_recovery_point("x") is None


def test_find_point_in_time(backup_manager, recovery_service, backup_id) -> None:
    created = backup_manager.get_backup_manifest(backup_id).created_at
    backup_manager.manual_backup(NAME, "incremental")
    assert recovery_service.find_point_in_time(NAME, created).backup_id == backup_id
    assert recovery_service.find_point_in_time(NAME, created.astimezone()).backup_id == backup_id
    assert recovery_service.find_point_in_time(NAME, created - timedelta(seconds=1)) is None
    assert recovery_service.find_point_in_time(NAME, datetime.now()).backup_id != backup_id


def test_selective_restore(recovery_service, backup_id, tmp_path, finished) -> None:
    file_patterns = ["*.pdf", "projects/project1/*", "important_document.txt"]
    session_id = recovery_service.selective_restore(
        backup_id=backup_id, target_path=str(tmp_path / "out"), file_patterns=file_patterns
    )
    assert finished(session_id).status.value == "completed"
    assert set(texts(tmp_path / "out" / "documents")) == {
        "报告.pdf", "projects/project1/计划.txt", "projects/project1/深/更深.pdf", "important_document.txt",
    }  # fmt: skip


def test_what_cannot_be_restored_is_said_at_once(recovery_service, backup_id, tmp_path) -> None:
    with pytest.raises(ConfigError, match="没有的"):
        recovery_service.one_click_restore("没有的", tmp_path)
    with pytest.raises(ConfigError, match="no backup"):
        recovery_service.selective_restore("x_20251031_020000", tmp_path, ["*"])
    for patterns in ("*.pdf", [], ["a[", "b\\"]):
        with pytest.raises(ConfigError):
            recovery_service.selective_restore(backup_id, tmp_path, patterns)
    assert recovery_service.get_recovery_progress("x") is None
    assert recovery_service.cancel_recovery("x") is False


def test_a_finished_restore_cannot_be_cancelled(recovery_service, backup_id, tmp_path, finished) -> None:
    session_id = recovery_service.one_click_restore(NAME, tmp_path / "out")
    finished(session_id)
    assert recovery_service.cancel_recovery(session_id) is False


def test_progress_is_seen_from_another_service(
    backup_manager: BackupManager, recovery_service: RecoveryService, backup_id, tmp_path, finished
) -> None:
    session_id = recovery_service.one_click_restore(NAME, tmp_path / "out")
    finished(session_id)
    other = create_recovery_service(backup_manager.backup_service)
    assert other.get_recovery_progress(session_id) == recovery_service.get_recovery_progress(session_id)
    assert [s.session_id for s in other.list_sessions()] == [session_id]


@pytest.fixture
def plan_id(backup_manager: BackupManager, recovery_service: RecoveryService, backup_id, config, tmp_path) -> str:
    """A plan over three configurations in one repository."""
    for name in ("数据库备份", "配置文件"):
        source = tmp_path / "源" / name
        source.mkdir()
        (source / "数据.txt").write_text(name)
        backup_manager.add_config(config.model_copy(update={"name": name, "source_paths": [str(source)]}))
        backup_manager.manual_backup(name, "full")
    return recovery_service.create_disaster_recovery_plan(
        name="主站灾难恢复",
        description="完整的主站数据恢复",
        recovery_order=["数据库备份", NAME, "配置文件"],
        target_base_path=str(tmp_path / "disaster_recovery"),
        auto_verify=True,
        notification_email="admin@example.com",
    )


def test_plans_are_kept(recovery_service: RecoveryService, plan_id: str) -> None:
    (plan,) = recovery_service.list_disaster_recovery_plans()
    assert isinstance(plan, DisasterRecoveryPlan)
    assert (plan.plan_id, plan.name, plan.recovery_order[0]) == (plan_id, "主站灾难恢复", "数据库备份")


def test_test_disaster_recovery_plan(
    backup_manager: BackupManager, recovery_service: RecoveryService, plan_id: str, config: BackupConfig
) -> None:
    test_result = recovery_service.test_disaster_recovery_plan(plan_id)
    assert datetime.fromisoformat(test_result["tested_at"]) <= datetime.now()
    assert list(test_result["config_tests"]) == ["数据库备份", NAME, "配置文件"]
    for result in test_result["config_tests"].values():
        assert result["has_backups"] is True and result["backup_count"] == 1 and result["latest_backup"]
    assert test_result["passed"] is True
    assert recovery_service.list_disaster_recovery_plans()[0].last_tested_at is not None
    backup_manager.remove_config("配置文件")
    test_result = recovery_service.test_disaster_recovery_plan(plan_id)
    assert test_result["passed"] is False and test_result["config_tests"]["配置文件"]["error"]


def test_execute_disaster_recovery(
    recovery_service: RecoveryService, plan_id: str, documents: Path, tmp_path: Path
) -> None:
    sessions = recovery_service.execute_disaster_recovery(plan_id)
    assert list(sessions) == ["数据库备份", NAME, "配置文件"]
    recovery_service.executor.wait()
    ended = [recovery_service.get_recovery_progress(session) for session in sessions.values()]
    assert [p.status.value for p in ended] == ["completed"] * 3
    assert [p.ended_at for p in ended] == sorted(p.ended_at for p in ended), "in the plan's order"
    base = tmp_path / "disaster_recovery"
    assert texts(base / NAME / "documents") == included(documents)
    assert (base / "数据库备份" / "数据库备份" / "数据.txt").read_text() == "数据库备份"


def test_a_plan_that_cannot_be_executed_writes_nothing(
    backup_manager: BackupManager, recovery_service: RecoveryService, plan_id: str, tmp_path: Path
) -> None:
    backup_manager.remove_config("配置文件")
    with pytest.raises(ConfigError, match="配置文件"):
        recovery_service.execute_disaster_recovery(plan_id)
    assert not (tmp_path / "disaster_recovery").exists()


def test_plans_that_say_nothing_are_refused(recovery_service: RecoveryService, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recovery_service.create_disaster_recovery_plan(name=" ", recovery_order=[], target_base_path="")
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError, match="twice"):
        recovery_service.create_disaster_recovery_plan("a", ["x", "x"], "/t")
    with pytest.raises(ConfigError, match="no disaster-recovery plan"):
        recovery_service.test_disaster_recovery_plan("dr_x")
