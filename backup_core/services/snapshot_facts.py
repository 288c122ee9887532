"""What a snapshot says of itself in tags, as the catalogue and people see it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.catalogue.backups import KnownBackup
from backup_core.errors import ConfigError
from backup_core.services.records import BackupManifest

if TYPE_CHECKING:
    from backup_core.format.snapshot import Snapshot
    from backup_core.services.recovery_records import RecoveryPoint

_CONFIGURATION = "config:"
_BACKUP_ID = "backup-id:"
_KIND = "kind:"
_OWN = ("davault", _CONFIGURATION, _BACKUP_ID, _KIND)
_SHORT = 8


def tagged(snapshot: Snapshot, prefix: str) -> str:
    """The rest of the first tag that begins with ``prefix``, "" when there is none."""
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), "")


def configuration_name(snapshot: Snapshot) -> str:
    """The configuration whose backup it is, "" when another program made it."""
    return tagged(snapshot, _CONFIGURATION)


def backup_id_of(snapshot: Snapshot) -> str:
    """The id under which people know the backup: the first digits of the snapshot's when another program made it."""
    return tagged(snapshot, _BACKUP_ID) or snapshot.id[:_SHORT]


def user_tags(tags: Iterable[str]) -> list[str]:
    """The tags that people gave, without those by which this program knows its snapshots."""
    return [tag for tag in tags if tag != _OWN[0] and not tag.startswith(_OWN[1:])]


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags that people may give, each once. Raises ``ConfigError`` for those that would not be told apart later."""
    given = tuple(dict.fromkeys(tags))
    wrong = [tag for tag in given if not tag.strip() or "," in tag or not tag.isprintable() or not user_tags([tag])]
    if wrong:
        raise ConfigError(
            f"these cannot be tags: {', '.join(map(repr, wrong))}; a tag has no comma, is not empty, and does not "
            f"begin like those of this program ({', '.join(_OWN)})"
        )
    return given


def known_backup(snapshot: Snapshot, *, repository_id: str, encrypted: bool) -> KnownBackup:
    """A snapshot as the catalogue keeps it. One that another program made is known by the first digits of its id."""
    summary = snapshot.summary
    return KnownBackup(
        snapshot_id=snapshot.id,
        repository_id=repository_id,
        backup_id=backup_id_of(snapshot),
        configuration=tagged(snapshot, _CONFIGURATION),
        backup_type=tagged(snapshot, _KIND) or ("incremental" if snapshot.parent else "full"),
        created_at=snapshot.time,
        files=summary.total_files_processed if summary else 0,
        directories=summary.dirs_new + summary.dirs_changed + summary.dirs_unmodified if summary else 0,
        total_size=summary.total_bytes_processed if summary else 0,
        data_added=summary.data_added if summary else 0,
        stored_size=summary.data_added_packed if summary else 0,
        parent=snapshot.parent or "",
        hostname=snapshot.hostname,
        paths=list(snapshot.paths),
        tags=user_tags(snapshot.tags),
        encrypted=encrypted,
    )


def recovery_point(manifest: BackupManifest) -> RecoveryPoint:
    """A backup as a moment to go back to."""
    from backup_core.services.recovery_records import RecoveryPoint

    return RecoveryPoint(
        backup_id=manifest.backup_id,
        config_name=manifest.config_name,
        created_at=manifest.created_at,
        backup_type=manifest.backup_type,
        total_size=manifest.total_size,
        file_count=manifest.file_count,
        snapshot_id=manifest.snapshot_id,
        validated_at=manifest.validated_at,
    )


def new_backup_id(configuration: str, moment: datetime, taken: Iterable[str]) -> str:
    """``<configuration>_<YYYYMMDD>_<HHMMSS>``, with ``_2``, ``_3``, ... when that is taken."""
    base = f"{configuration}_{moment:%Y%m%d_%H%M%S}"
    known = set(taken)
    number = 1
    candidate = base
    while candidate in known:
        number += 1
        candidate = f"{base}_{number}"
    return candidate
