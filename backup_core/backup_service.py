"""Backup runs and what they left. The same as ``backup_core.services.backup_service``, under a shorter name."""

from __future__ import annotations

from backup_core.services.backup_service import (
    BackupConfig,
    BackupExecutionError,
    BackupManifest,
    BackupService,
)

__all__ = [
    "BackupConfig",
    "BackupExecutionError",
    "BackupManifest",
    "BackupService",
]
