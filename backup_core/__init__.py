"""Backup and disaster recovery on WebDAV storage, in a repository that restic can read.

    from backup_core import BackupConfig, WebDAVCredentials, WebDAVService, create_backup_manager

Names are loaded when they are first used (PEP 562), so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup_core.config.home import Home as Home
    from backup_core.config.models import BackupConfig as BackupConfig
    from backup_core.config.models import ClientConfig as ClientConfig
    from backup_core.errors import (
        BackupError as BackupError,
    )
    from backup_core.errors import (
        BackupExecutionError as BackupExecutionError,
    )
    from backup_core.errors import (
        Cancelled as Cancelled,
    )
    from backup_core.errors import (
        CatalogueError as CatalogueError,
    )
    from backup_core.errors import (
        ConfigError as ConfigError,
    )
    from backup_core.errors import (
        RepositoryError as RepositoryError,
    )
    from backup_core.errors import (
        RestoreError as RestoreError,
    )
    from backup_core.errors import (
        StorageError as StorageError,
    )
    from backup_core.progress import CancelToken as CancelToken
    from backup_core.progress import Progress as Progress
    from backup_core.results import (
        BackupSummary as BackupSummary,
    )
    from backup_core.results import (
        Outcome as Outcome,
    )
    from backup_core.results import (
        Problem as Problem,
    )
    from backup_core.results import (
        RestoreSummary as RestoreSummary,
    )
    from backup_core.services.application import Application as Application
    from backup_core.services.application import open_application as open_application
    from backup_core.services.backup_manager import (
        BackupManager as BackupManager,
    )
    from backup_core.services.backup_manager import (
        create_backup_manager as create_backup_manager,
    )
    from backup_core.services.backup_service import BackupService as BackupService
    from backup_core.services.backup_validator import BackupValidator as BackupValidator
    from backup_core.services.dr_manager import DisasterRecoveryManager as DisasterRecoveryManager
    from backup_core.services.findings import BackupValidationResult as BackupValidationResult
    from backup_core.services.listings import StorageUsage as StorageUsage
    from backup_core.services.records import BackupManifest as BackupManifest
    from backup_core.services.recovery_executor import RecoveryExecutor as RecoveryExecutor
    from backup_core.services.recovery_records import DisasterRecoveryPlan as DisasterRecoveryPlan
    from backup_core.services.recovery_records import RecoveryPoint as RecoveryPoint
    from backup_core.services.recovery_records import RecoveryProgress as RecoveryProgress
    from backup_core.services.recovery_records import RecoveryStatus as RecoveryStatus
    from backup_core.services.recovery_service import (
        RecoveryService as RecoveryService,
    )
    from backup_core.services.recovery_service import (
        create_recovery_service as create_recovery_service,
    )
    from backup_core.services.storage_manager import StorageManager as StorageManager
    from backup_core.services.webdav_service import (
        WebDAVCredentials as WebDAVCredentials,
    )
    from backup_core.services.webdav_service import (
        WebDAVService as WebDAVService,
    )
    from backup_core.types import Secret as Secret

__all__ = [
    "Application",
    "BackupConfig",
    "BackupError",
    "BackupExecutionError",
    "BackupManager",
    "BackupManifest",
    "BackupService",
    "BackupSummary",
    "BackupValidationResult",
    "BackupValidator",
    "CancelToken",
    "Cancelled",
    "CatalogueError",
    "ClientConfig",
    "ConfigError",
    "DisasterRecoveryManager",
    "DisasterRecoveryPlan",
    "Home",
    "Outcome",
    "Problem",
    "Progress",
    "RecoveryExecutor",
    "RecoveryPoint",
    "RecoveryProgress",
    "RecoveryService",
    "RecoveryStatus",
    "RepositoryError",
    "RestoreError",
    "RestoreSummary",
    "Secret",
    "StorageError",
    "StorageManager",
    "StorageUsage",
    "WebDAVCredentials",
    "WebDAVService",
    "create_backup_manager",
    "create_recovery_service",
    "open_application",
]

_HOMES = {
    "Application": "backup_core.services.application",
    "BackupConfig": "backup_core.config.models",
    "BackupError": "backup_core.errors",
    "BackupExecutionError": "backup_core.errors",
    "BackupManager": "backup_core.services.backup_manager",
    "BackupManifest": "backup_core.services.records",
    "BackupService": "backup_core.services.backup_service",
    "BackupSummary": "backup_core.results",
    "BackupValidationResult": "backup_core.services.findings",
    "BackupValidator": "backup_core.services.backup_validator",
    "CancelToken": "backup_core.progress",
    "Cancelled": "backup_core.errors",
    "CatalogueError": "backup_core.errors",
    "ClientConfig": "backup_core.config.models",
    "ConfigError": "backup_core.errors",
    "DisasterRecoveryManager": "backup_core.services.dr_manager",
    "DisasterRecoveryPlan": "backup_core.services.recovery_records",
    "Home": "backup_core.config.home",
    "Outcome": "backup_core.results",
    "Problem": "backup_core.results",
    "Progress": "backup_core.progress",
    "RecoveryExecutor": "backup_core.services.recovery_executor",
    "RecoveryPoint": "backup_core.services.recovery_records",
    "RecoveryProgress": "backup_core.services.recovery_records",
    "RecoveryService": "backup_core.services.recovery_service",
    "RecoveryStatus": "backup_core.services.recovery_records",
    "RepositoryError": "backup_core.errors",
    "RestoreError": "backup_core.errors",
    "RestoreSummary": "backup_core.results",
    "Secret": "backup_core.types",
    "StorageError": "backup_core.errors",
    "StorageManager": "backup_core.services.storage_manager",
    "StorageUsage": "backup_core.services.listings",
    "WebDAVCredentials": "backup_core.services.webdav_service",
    "WebDAVService": "backup_core.services.webdav_service",
    "create_backup_manager": "backup_core.services.backup_manager",
    "create_recovery_service": "backup_core.services.recovery_service",
    "open_application": "backup_core.services.application",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
