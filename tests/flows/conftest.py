"""Prefect's own test server, and an application that does what a test tells it to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

# Before Prefect is imported anywhere in this process: it reads its settings then.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "backup_core")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_UI_URL,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from backup_core.config.models import BackupConfig
from backup_core.results import BackupSummary, Outcome, RestoreSummary
from backup_core.services.findings import BackupValidationResult
from backup_core.services.recovery_records import RestorePreview

from . import prefect_database

PAGES = "http://pages.test"
"""Where the server's notices say that its pages are."""
MOMENT = datetime(2026, 11, 23, 2, 0).astimezone()


@pytest.fixture(scope="package")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with an empty database for the flows' tests of this process.

    It is stopped as soon as the process has tests of another kind to run: idle, it takes a tenth of a core.
    """
    settings: dict[Any, Any] = {
        PREFECT_HOME: tmp_path_factory.mktemp("prefect-home"),
        # The heartbeat makes every run wait a second at its end.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_UI_URL: PAGES,
    }
    place = Path(tempfile.mkdtemp())  # which the harness removes
    database = place / "prefect-test.db"
    prefect_database.begin_with(database)
    with pytest.MonkeyPatch.context() as patch, temporary_settings(settings):
        patch.setattr("prefect.testing.utilities.mkdtemp", lambda: str(place))
        with prefect_test_harness(server_startup_timeout=120):
            prefect_database.keep(database)
            yield


def backup_summary(**changes: Any) -> BackupSummary:
    """A backup that went well."""
    facts: dict[str, Any] = {
        "backup_id": "重要文档_20261123_020000", "snapshot_id": "ab" * 32, "backup_type": "incremental",
        "outcome": Outcome.COMPLETED, "started": MOMENT, "ended": MOMENT + timedelta(seconds=9), "files": 1234,
        "files_new": 3, "files_changed": 2, "files_unchanged": 1229, "directories": 40, "total_size": 5 << 20,
        "data_added": 70_000, "stored_size": 30_000, "packs": 2, "requests": {"PUT": 5, "GET": 1}, "seconds": 9.0,
    }  # fmt: skip
    return BackupSummary(**(facts | changes))


def validation(**changes: Any) -> BackupValidationResult:
    """A backup that was found whole."""
    facts: dict[str, Any] = {
        "backup_id": "重要文档_20261123_020000", "is_valid": True, "files_checked": 10, "files_passed": 10,
        "errors": (),
    }  # fmt: skip
    return BackupValidationResult(**(facts | changes))


def restore_summary(**changes: Any) -> RestoreSummary:
    """A restore that went well."""
    facts: dict[str, Any] = {
        "target": "/srv/restored", "outcome": Outcome.COMPLETED, "files_total": 10, "files_restored": 9,
        "files_unchanged": 1, "files_verified": 10, "bytes_restored": 4096, "bytes_downloaded": 1024,
    }  # fmt: skip
    return RestoreSummary(**(facts | changes))


def preview(**changes: Any) -> RestorePreview:
    """A restore that would write nine entries."""
    facts: dict[str, Any] = {
        "backup_id": "重要文档_20261123_020000", "snapshot_id": "ab" * 32, "target": "/srv/restored", "files_total": 10,
        "creates": 8, "replaces": 1, "keeps": 1, "deletes": 0, "bytes_to_write": 4096, "bytes_to_download": 1024,
        "packs": 2,
    }  # fmt: skip
    return RestorePreview(**(facts | changes))


@dataclass
class FakeApplication:
    """Answers as told; ``calls`` holds (method, arguments)."""

    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def __enter__(self) -> FakeApplication:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            return self.answers[name](*arguments, **options)

        return act

    def called(self, name: str) -> list[dict[str, Any]]:
        """The keyword arguments of each call of one method."""
        return [options for method, _, options in self.calls if method == name]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> FakeApplication:
    """The application that the flows open, replaced."""
    fake = FakeApplication()
    fake.answers = {
        "get_config": lambda name: BackupConfig(
            name=name, source_paths=["/srv/data"], target_client_id="cloud", target_path="/backups"
        ),
        "backup": lambda name, **_: backup_summary(),
        "validate": lambda ids, **_: [validation()],
        "plan_restore": lambda *_, **__: preview(),
        "restore": lambda *_, **__: restore_summary(),
    }
    monkeypatch.setattr("flows._runtime.open_application", lambda: fake)
    monkeypatch.setattr("flows.backup.open_application", lambda: fake)
    return fake
