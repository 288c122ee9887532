"""Usage, trend and statistics of the backups, from the catalogue's sums: pure functions, whoever read the sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.backups import Totals
from backup_core.services.moments import to_local, to_local_if_any
from backup_core.services.storage_shares import repository_shares

if TYPE_CHECKING:
    from backup_core.services.listings import StorageUsage

STORED_SIZE = "stored-size-of:"
"""Settings: this and a repository's id -> stored bytes of its packs when it was last used."""
_TYPES = ("full", "incremental")


def storage_usage(
    everything: Sequence[Totals], packs: Mapping[str, int | None], config_name: str | None = None
) -> StorageUsage:
    """What all backups take, or those of one configuration; ``packs``: repository id -> stored bytes of its packs."""
    from backup_core.services.listings import StorageUsage

    stored = _stored_by_part(everything, packs)
    by_config: dict[str, list[Totals]] = defaultdict(list)
    for part in everything:
        if config_name in (None, part.configuration):
            by_config[part.configuration].append(part)
    chosen = [part for parts in by_config.values() for part in parts]
    return StorageUsage(
        total_backups=sum(part.count for part in chosen),
        total_size=sum(stored[part] for part in chosen),
        oldest_backup=_oldest(chosen),
        newest_backup=_newest(chosen),
        by_config={name: _of_configuration(parts, stored) for name, parts in sorted(by_config.items())},
        logical_size=sum(part.total_size for part in chosen),
    )


def storage_trend(sizes: Iterable[tuple[datetime, int, int]]) -> list[dict[str, Any]]:
    """By month of local time, oldest first; ``sizes``: (when, stored bytes added, logical bytes) of each backup."""
    months: dict[str, dict[str, Any]] = {}
    for at, stored, logical in sizes:
        month = f"{to_local(at):%Y-%m}"
        entry = months.setdefault(month, {"month": month, "count": 0, "size": 0, "logical_size": 0})
        entry["count"] += 1
        entry["size"] += stored
        entry["logical_size"] += logical
    return [months[month] for month in sorted(months)]


def statistics(
    config_name: str | None,
    usage: StorageUsage,
    *,
    newest: tuple[str, datetime] | None,
    outcomes: Mapping[str, int],
    trend: list[dict[str, Any]],
) -> dict[str, Any]:
    """The answer of ``BackupManager.get_statistics``. ``newest``: id and naive local time of the newest backup;
    ``outcomes``: how many backup runs ended in each way."""
    kinds = Counter[str]()
    for info in usage.by_config.values():
        kinds.update(info["backup_types"])
    return {
        "config_name": config_name,
        "backup_stats": {
            "total_backups": usage.total_backups,
            "total_size": usage.total_size,
            "logical_size": usage.logical_size,
            "last_backup": None if newest is None else newest[1].isoformat(),
            "last_backup_id": None if newest is None else newest[0],
            "backup_types": {name: kinds[name] for name in _TYPES},
            "runs": sum(outcomes.values()),
            "failed_runs": outcomes.get("failed", 0),
        },
        "storage_usage": {
            "total_size": usage.total_size,
            "logical_size": usage.logical_size,
            "oldest_backup": usage.oldest_backup,
            "newest_backup": usage.newest_backup,
            "storage_trend": trend,
        },
    }


def _stored_by_part(everything: Sequence[Totals], packs: Mapping[str, int | None]) -> dict[Totals, int]:
    repositories: dict[str, list[Totals]] = defaultdict(list)
    for part in everything:
        repositories[part.repository_id].append(part)
    stored: dict[Totals, int] = {}
    for repository_id, parts in repositories.items():
        stored |= repository_shares(parts, packs.get(repository_id))
    return stored


def _of_configuration(parts: Sequence[Totals], stored: Mapping[Totals, int]) -> dict[str, Any]:
    counts = Counter[str]()
    for part in parts:
        counts[part.backup_type] += part.count
    return {
        "count": counts.total(),
        "total_size": sum(stored[part] for part in parts),
        "logical_size": sum(part.total_size for part in parts),
        "oldest_backup": _oldest(parts),
        "newest_backup": _newest(parts),
        "backup_types": {name: counts[name] for name in _TYPES},
    }


def _oldest(parts: Sequence[Totals]) -> datetime | None:
    return to_local_if_any(min((part.oldest for part in parts), default=None))


def _newest(parts: Sequence[Totals]) -> datetime | None:
    return to_local_if_any(max((part.newest for part in parts), default=None))
