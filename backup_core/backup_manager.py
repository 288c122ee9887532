"""Making and keeping backups. The same as ``backup_core.services.backup_manager``, under a shorter name."""

from __future__ import annotations

from backup_core.services.backup_manager import (
    BackupConfig,
    BackupExecutionError,
    BackupManager,
    BackupManifest,
    BackupValidationResult,
    StorageUsage,
    create_backup_manager,
)

__all__ = [
    "BackupConfig",
    "BackupExecutionError",
    "BackupManager",
    "BackupManifest",
    "BackupValidationResult",
    "StorageUsage",
    "create_backup_manager",
]
