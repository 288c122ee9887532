"""From the catalogue's rows to backups as people see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.services.moments import to_local, to_local_if_any
from backup_core.services.records import BackupManifest

if TYPE_CHECKING:
    from backup_core.catalogue.backups import KnownBackup


def manifest(row: KnownBackup, validated_at: datetime | None) -> BackupManifest:
    """A backup as people see it."""
    return BackupManifest(
        backup_id=row.backup_id,
        config_name=row.configuration,
        backup_type=row.backup_type,
        created_at=to_local(row.created_at),
        total_size=row.total_size,
        stored_size=row.stored_size,
        file_count=row.files,
        snapshot_id=row.snapshot_id,
        parent=row.parent,
        hostname=row.hostname,
        paths=tuple(row.paths),
        tags=tuple(row.tags),
        encrypted=row.encrypted,
        problems=row.problems,
        validated_at=to_local_if_any(validated_at),
    )
