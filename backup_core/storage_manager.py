"""How much room backups take. The same as ``backup_core.services.storage_manager``, under a shorter name."""

from __future__ import annotations

from backup_core.services.storage_manager import StorageManager, StorageUsage

__all__ = ["StorageManager", "StorageUsage"]
