"""The reference of the original API: every method with its parameters, in their order."""

from __future__ import annotations

import inspect

import pytest

from backup_core.backup_manager import BackupManager
from backup_core.backup_service import BackupConfig
from backup_core.recovery_service import RecoveryService
from backup_core.webdav_service import WebDAVCredentials

METHODS = [
    (BackupManager, "add_config", "config"),
    (BackupManager, "remove_config", "config_name"),
    (BackupManager, "get_config", "config_name"),
    (BackupManager, "list_configs", ""),
    (BackupManager, "manual_backup", "config_name backup_type"),
    (BackupManager, "start_scheduler", ""),
    (BackupManager, "stop_scheduler", ""),
    (BackupManager, "validate_backup", "backup_id"),
    (BackupManager, "validate_all_backups", "config_name"),
    (BackupManager, "get_storage_usage", ""),
    (BackupManager, "cleanup_old_backups", "config_name keep_count keep_days"),
    (BackupManager, "estimate_space", "config_name"),
    (BackupManager, "list_backups", "config_name"),
    (BackupManager, "get_backup_manifest", "backup_id"),
    (BackupManager, "get_statistics", "config_name"),
    (RecoveryService, "list_recovery_points", "config_name days"),
    (RecoveryService, "get_recovery_point", "backup_id"),
    (RecoveryService, "find_point_in_time", "config_name target_time"),
    (RecoveryService, "one_click_restore", "config_name target_path point_in_time"),
    (RecoveryService, "selective_restore", "backup_id target_path file_patterns"),
    (RecoveryService, "get_recovery_progress", "session_id"),
    (RecoveryService, "cancel_recovery", "session_id"),
    (RecoveryService, "create_disaster_recovery_plan", "name recovery_order target_base_path"),
    (RecoveryService, "execute_disaster_recovery", "plan_id"),
    (RecoveryService, "test_disaster_recovery_plan", "plan_id"),
    (RecoveryService, "list_disaster_recovery_plans", ""),
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), METHODS, ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_methods_take_what_they_always_took(owner: type, name: str, parameters: str) -> None:
    method = getattr(owner, name)
    found = list(inspect.signature(method).parameters.values())[1:]
    wanted = parameters.split()
    assert [p.name for p in found][: len(wanted)] == wanted
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in found[: len(wanted)])
    needless = [p.name for p in found[len(wanted) :] if p.default is p.empty]
    assert needless == [], "whatever came later has a default"


def test_a_plan_takes_all_words_of_the_original() -> None:
    words = {"name", "description", "recovery_order", "target_base_path", "auto_verify", "notification_email"}
    assert words <= set(inspect.signature(RecoveryService.create_disaster_recovery_plan).parameters)


def test_configurations_and_credentials_have_the_original_fields() -> None:
    assert {
        "name", "source_paths", "target_client_id", "target_path", "include_patterns", "exclude_patterns", "encrypt",
        "encrypt_key", "compression", "incremental", "max_versions", "schedule_time", "auto_delete_old",
    } <= set(BackupConfig.model_fields)  # fmt: skip
    assert {"username", "password", "url", "service_type"} <= set(inspect.signature(WebDAVCredentials).parameters)
