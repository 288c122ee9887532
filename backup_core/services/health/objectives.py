"""How old the newest backup of a configuration may be."""

from __future__ import annotations

from collections.abc import Iterable

from backup_core.config.recovery_plans import RecoveryPlan

DEFAULT_RPO = 48 * 3600.0
"""Seconds, for configurations that no recovery plan says anything about."""


def longest_age(
    configuration: str, plans: Iterable[RecoveryPlan], *, wished: float | None = None, default: float = DEFAULT_RPO
) -> float:
    """Seconds: what was wished, or else the strictest objective of the recovery plans that bring this configuration
    back, or else ``default``, 48 hours."""
    if wished is not None:
        return wished
    objectives = [
        plan.rpo
        for plan in plans
        if plan.rpo is not None and any(step.configuration == configuration for step in plan.steps)
    ]
    return min(objectives, default=default)
