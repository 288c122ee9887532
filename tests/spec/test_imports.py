"""Everything is found where the original system had it, and where a plain replacement of its package puts it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import backup_core

ORIGINAL = [
    ("webdav_service", "WebDAVService"),
    ("webdav_service", "WebDAVCredentials"),
    ("backup_manager", "create_backup_manager"),
    ("backup_manager", "BackupManager"),
    ("backup_service", "BackupConfig"),
    ("backup_service", "BackupService"),
    ("backup_service", "BackupManifest"),
    ("backup_service", "BackupExecutionError"),
    ("backup_validator", "BackupValidator"),
    ("backup_validator", "BackupValidationResult"),
    ("storage_manager", "StorageManager"),
    ("storage_manager", "StorageUsage"),
    ("recovery_service", "create_recovery_service"),
    ("recovery_service", "RecoveryService"),
    ("recovery_service", "RecoveryPoint"),
    ("recovery_service", "RecoveryProgress"),
    ("recovery_service", "DisasterRecoveryPlan"),
    ("recovery_executor", "RecoveryExecutor"),
    ("dr_manager", "DisasterRecoveryManager"),
]


@pytest.mark.parametrize(("module", "name"), ORIGINAL)
def test_one_class_under_three_paths(module: str, name: str) -> None:
    found = getattr(backup_core, name)
    assert getattr(import_module(f"backup_core.{module}"), name) is found
    assert getattr(import_module(f"backup_core.services.{module}"), name) is found


def test_the_public_names_are_sorted_and_there() -> None:
    assert backup_core.__all__ == sorted(backup_core.__all__)
    for name in backup_core.__all__:
        assert getattr(backup_core, name) is not None
    assert set(backup_core.__all__) <= set(dir(backup_core))


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="BackupMaster"):
        _ = backup_core.BackupMaster  # type: ignore[attr-defined]


def test_importing_costs_nothing_yet() -> None:
    code = "import sys, backup_core; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"sqlmodel", "sqlalchemy", "pandas", "prefect", "pydantic", "httpx", "cryptography", "typer"}


def test_using_everything_needs_neither_prefect_nor_pandas() -> None:
    code = "import sys; from backup_core import *; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"prefect", "pandas"}
