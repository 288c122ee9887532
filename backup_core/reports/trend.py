"""Storage day by day and month by month, for one configuration or for all together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import pandas as pd

from backup_core.reports.frames import Frames
from backup_core.reports.schema import DAY, TREND

Period = Literal["day", "month"]
_STATE = ("newest_bytes", "kept_bytes", "stored_bytes", "backups")


def storage_trend(
    frames: Frames, period: Period = "day", *, configurations: Sequence[str] | None = None, now: datetime
) -> pd.DataFrame:
    """The frame ``schema.TREND``: each day or month from the first backup to ``now``, also those without any.

    What lies on the server at the end of a period is the last reading until then. Before the first reading (a catalogue
    that was rebuilt from the server has none of the past), it is the sum of what the kept backups added: too little by
    what was forgotten since.
    """
    chosen = frames.configurations if configurations is None else list(configurations)
    today = frames.days(pd.Series([pd.Timestamp(now)])).iloc[0]
    runs = _chosen(frames.runs[frames.runs["kind"] == "backup"], chosen)
    backups = _chosen(frames.backups, chosen)
    readings = _chosen(frames.readings, chosen)
    starts = [days.min() for days in map(frames.days, (runs["started"], backups["at"], readings["at"])) if len(days)]
    if not starts:
        return TREND.frame([])
    calendar = pd.date_range(min(starts), max(today, *starts), freq="D", unit="us")
    daily = pd.DataFrame(index=calendar)
    _add_made(daily, frames, runs, backups)
    for name in _STATE:
        daily[name] = 0
    for configuration in chosen:
        state = _state(frames, configuration, calendar)
        for name in _STATE:
            daily[name] += state[name]
    return _finished(daily, period)


def _chosen(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    return frame[frame["configuration"].isin(names)]


def _add_made(daily: pd.DataFrame, frames: Frames, runs: pd.DataFrame, backups: pd.DataFrame) -> None:
    """What was made each day, by the runs recorded here and by backups that other machines (or an earlier catalogue)
    made."""
    elsewhere = backups[~backups["backup_id"].isin(runs["backup_id"])]
    good = runs[runs["good"]]
    made = pd.concat(
        [
            good.assign(day=frames.days(good["started"]))[["day", "new_bytes", "stored_bytes"]],
            elsewhere.assign(day=frames.days(elsewhere["at"]))[["day", "new_bytes", "stored_bytes"]],
        ]
    )
    by_day = made.groupby("day")
    daily["backups_made"] = by_day.size()
    daily["new_bytes"] = by_day["new_bytes"].sum()
    daily["added_bytes"] = by_day["stored_bytes"].sum()
    failed = runs[runs["outcome"] == "failed"]
    daily["failed_runs"] = frames.days(failed["started"]).value_counts()
    for name in ("backups_made", "new_bytes", "added_bytes", "failed_runs"):
        daily[name] = daily[name].fillna(0).astype("int64")


def _state(frames: Frames, configuration: str, calendar: pd.DatetimeIndex) -> pd.DataFrame:
    """What one configuration took at the end of each day."""
    return _measured(frames, configuration, calendar).fillna(_reckoned(frames, configuration, calendar)).astype("int64")


def _measured(frames: Frames, configuration: str, calendar: pd.DatetimeIndex) -> pd.DataFrame:
    readings = frames.readings[frames.readings["configuration"] == configuration]
    days = frames.days(readings["at"])
    # A configuration that moved to another repository takes room in both until the old one is removed by hand.
    per_repository = [
        part.groupby(days.loc[part.index])[list(_STATE)].last().reindex(calendar).ffill()
        for _, part in readings.groupby("repository_id")
    ]
    if not per_repository:
        return pd.DataFrame(index=calendar, columns=list(_STATE), dtype="float64")
    total = per_repository[0]
    for part in per_repository[1:]:
        total = total.add(part, fill_value=0)
    return total.astype("float64")


def _reckoned(frames: Frames, configuration: str, calendar: pd.DatetimeIndex) -> pd.DataFrame:
    backups = frames.backups[frames.backups["configuration"] == configuration]
    by_day = backups.assign(day=frames.days(backups["at"])).groupby("day")
    made = pd.DataFrame(
        {
            "newest_bytes": by_day["logical_bytes"].last().reindex(calendar).ffill(),
            "kept_bytes": by_day["logical_bytes"].sum().reindex(calendar, fill_value=0).cumsum(),
            "stored_bytes": by_day["stored_bytes"].sum().reindex(calendar, fill_value=0).cumsum(),
            "backups": by_day.size().reindex(calendar, fill_value=0).cumsum(),
        }
    )
    return made.fillna(0)


def _finished(daily: pd.DataFrame, period: Period) -> pd.DataFrame:
    flows = ["backups_made", "failed_runs", "new_bytes", "added_bytes"]
    if period == "month":
        by_month = daily.resample("MS")
        daily = pd.concat([by_month[flows].sum(), by_month[list(_STATE)].last()], axis=1)
    made = daily.rename(columns={"backups": "backups_kept"})
    made["space_ratio"] = (made["kept_bytes"] / made["stored_bytes"]).where(made["stored_bytes"] > 0)
    added = made["added_bytes"].cumsum()
    made["compression_ratio"] = (made["new_bytes"].cumsum() / added).where(added > 0)
    made.insert(0, "period", pd.Series(made.index, index=made.index, dtype=DAY))
    columns = {column.name: column.dtype for column in TREND.columns}
    return made[list(columns)].astype(columns).reset_index(drop=True)
