"""Two months of made-up history, made once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.catalogue import Catalogue
from backup_core.reports.frames import Frames, load_frames
from backup_core.reports.report import Promises, Report, build_report
from backup_core.testing.clocks import ManualClock
from backup_core.testing.history import make_past

BEGINNING = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
NOW = BEGINNING + timedelta(days=60)


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    catalogue = open_catalogue(tmp_path_factory.mktemp("past") / "catalogue.db")
    make_past(catalogue, ManualClock(BEGINNING), days=60, quota=70 * 1024**3)
    return catalogue


@pytest.fixture(scope="session")
def frames(past: Catalogue) -> Frames:
    return load_frames(past, zone=UTC)


@pytest.fixture(scope="session")
def report(frames: Frames) -> Report:
    promises = Promises(budget_bytes=100 * 1024**3, windows={"cloud": (600, timedelta(minutes=30))})
    return build_report(frames, now=NOW, promises=promises)


@pytest.fixture
def empty(tmp_path: Path) -> Catalogue:
    return open_catalogue(tmp_path / "catalogue.db")
