"""Carrying out restores. The same as ``backup_core.services.recovery_executor``, under a shorter name."""

from __future__ import annotations

from backup_core.services.recovery_executor import RecoveryExecutor

__all__ = ["RecoveryExecutor"]
