"""Dividing what a repository takes among the configurations that share it, and writing it down over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backup_core.catalogue.backups import Totals

if TYPE_CHECKING:
    from datetime import datetime

    from backup_core.catalogue.catalogue import Catalogue


def divided(whole: int, shares: Mapping[Totals, int]) -> dict[Totals, int]:
    """``whole`` in proportion to ``shares``, in whole bytes that add up to it."""
    parts: dict[Totals, int] = {}
    left, left_of_shares = whole, sum(shares.values())
    for key, share in shares.items():
        parts[key] = left * share // left_of_shares if left_of_shares else 0
        left -= parts[key]
        left_of_shares -= share
    return parts


def repository_shares(parts: Sequence[Totals], stored: int | None) -> dict[Totals, int]:
    """Stored bytes of each part of one repository: in proportion to what its listed backups added, or evenly when none
    added anything. ``stored`` None (never measured) leaves what they added."""
    added = sum(part.stored_size for part in parts)
    shares = {part: part.stored_size for part in parts} if added else dict.fromkeys(parts, 1)
    return shares if stored is None else divided(stored, shares)


def note_reading(catalogue: Catalogue, repository_id: str, stored: int, now: datetime) -> None:
    """Write down what each configuration of a repository, whose packs take ``stored`` bytes, takes of it now."""
    from backup_core.catalogue.reading_rows import StorageReadingRow

    parts = [part for part in catalogue.manifests.totals() if part.repository_id == repository_id]
    shares = repository_shares(parts, stored)
    by_configuration: dict[str, list[Totals]] = defaultdict(list)
    for part in parts:
        by_configuration[part.configuration].append(part)
    rows = []
    for name, own in by_configuration.items():
        newest = catalogue.manifests.listed(name, repository_id=repository_id, limit=1)
        rows.append(
            StorageReadingRow(
                at=now,
                configuration=name,
                repository_id=repository_id,
                stored_bytes=sum(shares[part] for part in own),
                kept_bytes=sum(part.total_size for part in own),
                newest_bytes=newest[0].total_size if newest else 0,
                backups=sum(part.count for part in own),
            )
        )
    catalogue.readings.add_storage(rows)
