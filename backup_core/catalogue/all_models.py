"""Every table of the catalogue: importing this completes ``models.Table.metadata``, for comparing and migrating."""

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
