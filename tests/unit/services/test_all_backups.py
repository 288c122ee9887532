"""All configurations in one go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.cli.backup_all import exit_code_of_all
from backup_core.cli.exits import ExitCode
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import BackupExecutionError, Cancelled, LockHeld, QuotaExceeded
from backup_core.progress import CancelToken, Progress
from backup_core.results import Outcome
from backup_core.services.application import Application
from backup_core.services.backup_run import BackupRun
from backup_core.services.live import all_backups
from backup_core.services.live.all_backups import ConfigurationOutcome

Configured = Callable[..., BackupConfig]


def test_each_configuration_has_its_own_outcome(app: Application, configured: Configured, tmp_path: Path) -> None:
    configured("a", target_path="/one")
    configured("b", target_path="/two", source_paths=[str(tmp_path / "not-there")])
    configured("c", target_path="/one")
    told: list[Progress] = []
    ended = app.upkeep.all_backups.run(progress=told.append)
    assert [(one.name, one.outcome) for one in ended] == [
        ("a", Outcome.COMPLETED),
        ("b", Outcome.FAILED),
        ("c", Outcome.COMPLETED),
    ]
    assert isinstance(ended[1].error, BackupExecutionError)
    assert [backup.config_name for backup in app.backups()] in (["c", "a"], ["a", "c"])
    assert app.runs("b")[0].outcome == "failed"
    assert {progress.phase for progress in told} == {"backup"}
    assert any("a: " in progress.message for progress in told)
    assert [one.name for one in app.upkeep.all_backups.run(["c", "a"], dry_run=True)] == ["c", "a"]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[set[str]]]:
    """Makes each run wait until so many run at once; tells which did."""

    def watch(parties: int) -> list[set[str]]:
        seen: list[set[str]] = []
        running: set[str] = set()
        lock, meeting = threading.Lock(), threading.Barrier(parties)

        def carry_out(self: BackupRun, *, dry_run: bool) -> Any:
            with lock:
                running.add(self._config.name)
                seen.append(set(running))
            meeting.wait(60)
            with lock:
                running.discard(self._config.name)
            raise LockHeld("enough seen")

        monkeypatch.setattr(BackupRun, "carry_out", carry_out)
        return seen

    return watch


def test_different_repositories_are_written_side_by_side(
    app: Application, configured: Configured, together: Callable[[int], list[set[str]]]
) -> None:
    for name in ("a", "b", "c"):
        configured(name, target_path=f"/{name}")
    seen = together(3)
    app.upkeep.all_backups.run()
    assert {"a", "b", "c"} in seen


def test_one_writer_for_each_repository_and_as_many_for_an_account_as_its_server_likes(
    app: Application, configured: Configured, together: Callable[[int], list[set[str]]]
) -> None:
    app.add_client(ClientConfig(name="nut", url="https://dav.jianguoyun.com/dav/", service_type="nutstore"))
    for name, client, path in [("a", "云", "/1"), ("b", "云", "/1"), ("n", "nut", "/1"), ("m", "nut", "/2")]:
        configured(name, target_client_id=client, target_path=path)
    seen = together(2)
    app.upkeep.all_backups.run(jobs=8)
    assert all(not {"a", "b"} <= group and not {"n", "m"} <= group for group in seen)
    assert len(set().union(*seen)) == 4


def test_jobs_bound_how_many_run_at_once(
    app: Application, configured: Configured, together: Callable[[int], list[set[str]]]
) -> None:
    for name in ("a", "b", "c"):
        configured(name, target_path=f"/{name}")
    seen = together(1)
    app.upkeep.all_backups.run(jobs=1)
    assert [len(group) for group in seen] == [1, 1, 1]


def test_cancelling_ends_all_of_them(app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        configured(name, target_path="/one")
    cancel = CancelToken()
    original = BackupRun.carry_out

    def carry_out(self: BackupRun, *, dry_run: bool) -> Any:
        done = original(self, dry_run=dry_run)
        cancel.cancel()
        return done

    monkeypatch.setattr(BackupRun, "carry_out", carry_out)
    ended = app.upkeep.all_backups.run(cancel=cancel)
    assert [one.outcome for one in ended] == [Outcome.COMPLETED, Outcome.CANCELLED, Outcome.CANCELLED]


def test_an_unforeseen_error_stops_no_other(
    app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("a", target_path="/one")
    configured("b", target_path="/one")
    original = all_backups.BackupRun.carry_out

    def carry_out(self: BackupRun, *, dry_run: bool) -> Any:
        if self._config.name == "a":
            raise ZeroDivisionError
        return original(self, dry_run=dry_run)

    monkeypatch.setattr(BackupRun, "carry_out", carry_out)
    assert [one.outcome for one in app.upkeep.all_backups.run()] == [Outcome.FAILED, Outcome.COMPLETED]


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([None], ExitCode.OK),
        ([None, LockHeld("x")], ExitCode.BUSY),
        ([QuotaExceeded("x"), LockHeld("x")], ExitCode.FAILED),
        ([QuotaExceeded("x"), Cancelled("x")], ExitCode.CANCELLED),
    ],
)
def test_exit_codes(app: Application, configured: Configured, errors: list[Exception | None], code: ExitCode) -> None:
    configured("a")
    good = app.upkeep.all_backups.run()[0]
    ended = [good if error is None else ConfigurationOutcome("x", error=error) for error in errors]
    assert exit_code_of_all(ended) is code
