"""Single figures from the frames: ratios, growth, success, age, use of a window of requests. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pandas as pd

from backup_core.reports.frames import Frames


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``, None for a whole of nothing."""
    return part / whole if whole else None


def known(value: float) -> float | None:
    """None in place of NaN."""
    return None if math.isnan(value) else float(value)


def dedup_ratio(space_ratio: float | None, compression: float | None) -> float | None:
    """Logical bytes kept per byte of content that is stored, before compression: how often each byte is used.

    What the server holds, before compression, is not recorded, so it is taken as compressing like all that was ever
    added: space ratio = deduplication x compression.
    """
    return space_ratio / compression if space_ratio is not None and compression else None


def compression_ratio(runs: pd.DataFrame) -> float | None:
    """Bytes of new content per stored byte, over all good backups recorded; encryption and indexes are included."""
    good = runs[runs["good"]]
    return ratio(int(good["new_bytes"].sum()), int(good["stored_bytes"].sum()))


def success_rate(runs: pd.DataFrame, *, since: datetime) -> float | None:
    """Good backups per backup that ended since then, 0 to 1; a cancelled one counts for neither."""
    backups = runs[runs["kind"] == "backup"]
    ended = backups[(backups["started"] >= since) & (backups["good"] | (backups["outcome"] == "failed"))]
    return ratio(int(ended["good"].sum()), len(ended))


def growth_per_day(daily: pd.Series[int], days: int = 30) -> float | None:
    """Stored bytes a day on average over the last ``days`` days (or as many as there are, two at least)."""
    past = daily.to_numpy(dtype="float64")[-(days + 1) :]
    return float((past[-1] - past[0]) / (len(past) - 1)) if len(past) > 1 else None


def last_good(frames: Frames, configuration: str) -> datetime | None:
    """When the newest good backup of a configuration began."""
    runs = frames.runs
    good = runs[(runs["configuration"] == configuration) & (runs["kind"] == "backup") & runs["good"]]["started"]
    kept = frames.backups[frames.backups["configuration"] == configuration]["at"]
    newest = max((moments.max() for moments in (good, kept) if len(moments)), default=None)
    return None if newest is None else newest.to_pydatetime()


def busiest_window(requests: pd.DataFrame, window: timedelta) -> tuple[float, datetime | None]:
    """The most requests within one window of this length, and when it began.

    A run's requests are taken as spread evenly over its time, since only their sum is recorded.
    """
    runs = requests.groupby("run_id").agg(
        started=("started", "first"), seconds=("seconds", "first"), requests=("requests", "sum")
    )
    if runs.empty:
        return 0.0, None
    begun = runs["started"].map(lambda moment: moment.timestamp()).to_numpy(dtype="float64")
    lasted = runs["seconds"].fillna(0.0).clip(lower=1.0).to_numpy(dtype="float64")
    counts = runs["requests"].to_numpy(dtype="float64")
    length = window.total_seconds()
    # A window that is as full as any begins with a run, or ends with one.
    best, best_at = 0.0, float(begun[0])
    for start in sorted({*begun, *(begun + lasted - length)}):
        overlap = (begun + lasted).clip(max=start + length) - begun.clip(min=start)
        inside = float((counts * (overlap / lasted).clip(0.0, 1.0)).sum())
        if inside > best:
            best, best_at = inside, float(start)
    return best, datetime.fromtimestamp(best_at, UTC)
