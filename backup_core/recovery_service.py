"""Getting things back. The same as ``backup_core.services.recovery_service``, under a shorter name."""

from __future__ import annotations

from backup_core.services.recovery_service import (
    DisasterRecoveryPlan,
    RecoveryPoint,
    RecoveryProgress,
    RecoveryService,
    RecoveryStatus,
    create_recovery_service,
)

__all__ = [
    "DisasterRecoveryPlan",
    "RecoveryPoint",
    "RecoveryProgress",
    "RecoveryService",
    "RecoveryStatus",
    "create_recovery_service",
]
