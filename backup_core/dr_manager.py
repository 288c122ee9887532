"""Disaster-recovery plans. The same as ``backup_core.services.dr_manager``, under a shorter name."""

from __future__ import annotations

from backup_core.services.dr_manager import DisasterRecoveryManager

__all__ = ["DisasterRecoveryManager"]
