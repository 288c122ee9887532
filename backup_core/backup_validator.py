"""Checking backups. The same as ``backup_core.services.backup_validator``, under a shorter name."""

from __future__ import annotations

from backup_core.services.backup_validator import BackupValidationResult, BackupValidator

__all__ = ["BackupValidationResult", "BackupValidator"]
