"""Every table of the catalogue: importing this makes ``models.Row.metadata`` complete, for comparing and migrating."""

from backup_core.catalogue import (
    account_models,
    disaster_models,
    evidence_models,
    models,
    reading_models,
    restore_models,
    retention_models,
)

__all__ = [
    "account_models",
    "disaster_models",
    "evidence_models",
    "models",
    "reading_models",
    "restore_models",
    "retention_models",
]
