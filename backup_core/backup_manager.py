"""Making and keeping backups: ``backup_core.services.backup_manager`` under a shorter name, and what it takes."""

from __future__ import annotations

from backup_core.config.models import BackupConfig
from backup_core.services.backup_manager import (
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
