"""Frames hold what their documentation says, and the trend adds up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.reading_rows import StorageReadingRow
from backup_core.catalogue.rows import RunRow
from backup_core.reports import schema
from backup_core.reports.frames import Frames, load_frames
from backup_core.reports.trend import storage_trend

DOCUMENTATION = (Path(__file__).resolve().parents[3] / "docs" / "reports.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_the_documentation_shows_every_column(name: str) -> None:
    section = DOCUMENTATION.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0]
    told = schema.SCHEMAS[name]
    assert f"One row is {told.title}." in section
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| ([^|]*) \| (.*) \|$", section, re.MULTILINE)
    assert [tuple(part.strip() for part in row) for row in rows] == [
        (c.name, c.dtype, c.unit, c.meaning) for c in told.columns
    ]


@pytest.mark.parametrize("name", [name for name in schema.SCHEMAS if name != "trend"])
def test_frames_have_these_columns_also_when_nothing_happened(name: str, frames: Frames, empty: Catalogue) -> None:
    wanted = {column.name: column.dtype for column in schema.SCHEMAS[name].columns}
    assert dtypes(getattr(frames, name)) == wanted
    nothing = getattr(load_frames(empty), name)
    assert nothing.empty and dtypes(nothing) == wanted
    if name != "restores":
        assert len(getattr(frames, name))


def test_an_empty_catalogue_has_an_empty_trend(empty: Catalogue) -> None:
    trend = storage_trend(load_frames(empty), now=NOW)
    assert trend.empty and dtypes(trend) == {c.name: c.dtype for c in schema.TREND.columns}


def test_every_day_is_there_once_and_months_add_up(frames: Frames) -> None:
    daily = storage_trend(frames, "day", now=NOW)
    monthly = storage_trend(frames, "month", now=NOW)
    assert dtypes(daily) == dtypes(monthly) == {c.name: c.dtype for c in schema.TREND.columns}
    assert daily["period"].diff().dropna().eq(pd.Timedelta(days=1)).all() and len(daily) == 61
    assert list(monthly["period"].dt.strftime("%Y-%m")) == ["2026-01", "2026-02", "2026-03"]
    for flow in ("backups_made", "failed_runs", "new_bytes", "added_bytes"):
        assert monthly[flow].sum() == daily[flow].sum()
    assert daily["added_bytes"].sum() == frames.runs["stored_bytes"].sum(), "forgotten backups were added once, too"
    for state in ("stored_bytes", "kept_bytes", "newest_bytes", "backups_kept"):
        assert monthly[state].iloc[-1] == daily[state].iloc[-1]


def test_all_together_is_the_sum_of_its_parts(frames: Frames) -> None:
    whole = storage_trend(frames, now=NOW)
    parts = [storage_trend(frames, configurations=[name], now=NOW) for name in frames.configurations]
    for column in ("stored_bytes", "added_bytes", "kept_bytes", "backups_made"):
        assert whole[column].iloc[-1] == sum(part[column].iloc[-1] for part in parts)
    assert whole["backups_kept"].iloc[-1] == len(frames.backups)


def manifest(number: int, at: datetime, **changes: object) -> KnownBackup:
    fields = {
        "snapshot_id": f"{number:064x}", "repository_id": "r", "backup_id": f"a_{number}", "configuration": "a",
        "backup_type": "full", "created_at": at, "total_size": 100, "data_added": 60, "stored_size": 30,
    }  # fmt: skip
    return KnownBackup(**{**fields, **changes})


def test_without_readings_the_kept_backups_are_added_up(empty: Catalogue) -> None:
    for day in (1, 3):
        empty.manifests.add(manifest(day, datetime(2026, 2, day, tzinfo=UTC)))
    trend = storage_trend(load_frames(empty, zone=UTC), now=datetime(2026, 2, 4, tzinfo=UTC))
    assert list(trend["stored_bytes"]) == [30, 30, 60, 60]
    assert list(trend["newest_bytes"]) == [100, 100, 100, 100]
    assert list(trend["backups_made"]) == [1, 0, 1, 0]
    assert trend["space_ratio"].iloc[-1] == pytest.approx(200 / 60)
    assert trend["compression_ratio"].iloc[-1] == 2.0
    reading = StorageReadingRow(at=datetime(2026, 2, 3, 5, tzinfo=UTC), configuration="a", repository_id="r",
                                stored_bytes=47, kept_bytes=200, newest_bytes=100, backups=2)  # fmt: skip
    empty.readings.add_storage([reading])
    trend = storage_trend(load_frames(empty, zone=UTC), now=datetime(2026, 2, 4, tzinfo=UTC))
    assert list(trend["stored_bytes"]) == [30, 30, 47, 47], "a reading is better than a sum"


def test_a_day_begins_at_local_midnight(empty: Catalogue) -> None:
    late = datetime(2026, 2, 1, 23, 30, tzinfo=UTC)
    empty.manifests.add(manifest(1, late))
    shanghai = timezone(timedelta(hours=8))
    for zone, day in ((UTC, "2026-02-01"), (shanghai, "2026-02-02")):
        trend = storage_trend(load_frames(empty, zone=zone), now=late + timedelta(minutes=1))
        assert f"{trend['period'].iloc[0]:%Y-%m-%d}" == day


def test_a_run_and_its_backup_count_once(empty: Catalogue) -> None:
    at = datetime(2026, 2, 1, tzinfo=UTC)
    empty.manifests.add(manifest(1, at))
    number = empty.history.begin_run(RunRow(kind="backup", configuration="a", started_at=at))
    empty.history.end_run(number, outcome="completed", backup_id="a_1", ended_at=at, figures={"stored_size": 30})
    failed = empty.history.begin_run(RunRow(kind="backup", configuration="a", started_at=at))
    empty.history.end_run(failed, outcome="failed", ended_at=at, error="the disk is full")
    trend = storage_trend(load_frames(empty, zone=UTC), now=at)
    assert (trend["backups_made"].sum(), trend["failed_runs"].sum(), trend["added_bytes"].sum()) == (1, 1, 30)
