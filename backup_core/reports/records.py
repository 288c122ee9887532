"""The figures of a report as plain records."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self

from backup_core.deferred import dataclass
from backup_core.reports.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Figures:
    """One configuration, or all together ("")."""

    name: str
    backups: int
    """Kept."""
    newest_at: datetime | None
    """When the newest good backup began."""
    age: timedelta | None
    """Since then; of all together, that of the configuration which is the furthest behind. None: never."""
    rpo: timedelta
    """How old it may be."""
    rpo_met: bool
    stored_bytes: int
    """On the server."""
    kept_bytes: int
    """Logical bytes of all backups that are kept."""
    newest_bytes: int
    """Logical bytes of the newest backup."""
    space_ratio: float | None
    """kept_bytes / stored_bytes."""
    dedup_ratio: float | None
    """Logical bytes kept per byte of content that is stored, before compression."""
    compression_ratio: float | None
    """Bytes of new content per stored byte."""
    growth_per_day: float | None
    """Stored bytes, on average of the last 30 days."""
    runs: int
    """Of the last 30 days, like the next four."""
    failed_runs: int
    success_rate: float | None
    """0 to 1."""
    last_error: str
    typical_seconds: float | None
    """The median of good runs."""
    requests: int
    """Sent in the last 30 days."""
    validated_at: datetime | None
    validated_well: bool | None
    """What the last validation said; None when there was none."""

    def with_age(self, age: timedelta | None, *, met: bool) -> Self:
        """The same with another age."""
        return replace(self, age=age, rpo_met=met)


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """One account on a server."""

    name: str
    configurations: tuple[str, ...]
    """Those that store there."""
    stored_bytes: int
    """What they take together."""
    used_bytes: int | None
    """Of the whole account, as its server last said; None when it does not."""
    available_bytes: int | None
    """Free, as its server last said."""
    room: Forecast | None
    """When the free room is used up, if nobody else fills it; None when it is not known."""
    requests: int
    """Of the last 30 days."""
    window_requests: int | None
    """How many its provider allows within ``window``; None when any number."""
    window: timedelta | None
    busiest_requests: float
    """The most within one window in the last 30 days, about."""
    busiest_at: datetime | None
    """When that window began."""
