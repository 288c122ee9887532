"""Restores: in this thread and in the background, watched and stopped from elsewhere."""

from __future__ import annotations

import platform
import subprocess
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.errors import ConfigError
from backup_core.progress import Progress
from backup_core.results import Outcome
from backup_core.services.application import Application, open_application
from backup_core.services.recovery_records import RecoveryStatus
from backup_core.storage.local import LocalBackend


@pytest.fixture
def backed_up(app: Application, configured) -> str:
    configured()
    return app.backup("文档").backup_id


def test_restore_in_this_thread_is_a_session_too(app: Application, backed_up: str, tmp_path: Path) -> None:
    told: list[Progress] = []
    summary = app.restore("文档", target=tmp_path / "out", verify=True, progress=told.append)
    assert (summary.outcome, summary.files_restored, summary.files_verified) == (Outcome.COMPLETED, 2, 2)
    assert {"restore", "verify"} <= {progress.phase for progress in told}
    (session,) = app.recovery.list_sessions()
    assert session.status is RecoveryStatus.COMPLETED and session.backup_id == backed_up


def test_a_preview_changes_nothing(app: Application, backed_up: str, tmp_path: Path) -> None:
    preview = app.plan_restore("文档", target=tmp_path / "out", patterns=["*.txt"])
    assert (preview.files_total, preview.creates, preview.keeps) == (1, 1, 0)
    assert preview.bytes_to_write == 3000 and preview.bytes_to_download > 0 and preview.packs == 1
    assert not (tmp_path / "out").exists() and app.recovery.list_sessions() == []
    app.restore("文档", target=tmp_path / "out")
    assert app.plan_restore("文档", target=tmp_path / "out").keeps == 2


def test_which_backup_is_meant(app: Application, backed_up: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say what"):
        app.restore(target=tmp_path)
    with pytest.raises(ConfigError, match="say what"):
        app.restore("文档", backup_id=backed_up, target=tmp_path)
    with pytest.raises(ConfigError, match="oldest backup"):
        app.restore("文档", at=datetime.now() - timedelta(days=1), target=tmp_path)


def test_a_restore_is_stopped_by_another_process(
    app: Application, backed_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, stopped = threading.Event(), threading.Event()
    honest = LocalBackend.get

    def slow(self: LocalBackend, name: str, **options: int) -> bytes:
        if name.startswith("data/"):
            reading.set()
            stopped.wait(30)
        return honest(self, name, **options)

    monkeypatch.setattr(LocalBackend, "get", slow)
    session_id = app.recovery.one_click_restore("文档", tmp_path / "out")
    assert reading.wait(30)
    with open_application(tmp_path / "home") as other:
        watched = other.recovery.get_recovery_progress(session_id)
        assert watched is not None and watched.status is RecoveryStatus.RUNNING
        other.manager.backup_service.catalogue.restores.update(session_id, cancel_requested=True)
    live = app.recovery.executor._live[session_id]
    assert live.cancel.wait(30), "the session looks into the catalogue by itself"
    stopped.set()
    app.recovery.executor.wait()
    ended = app.recovery.get_recovery_progress(session_id)
    assert ended is not None and ended.status is RecoveryStatus.CANCELLED
    assert not any(p.is_file() for p in (tmp_path / "out").rglob("*"))


def test_a_session_whose_process_died_has_failed(app: Application, backed_up: str, tmp_path: Path) -> None:
    service = app.manager.backup_service
    now = service.clock.now()
    service.catalogue.restores.add(
        RestoreSessionRow(
            session_id="s",
            configuration="文档",
            backup_id=backed_up,
            snapshot_id="0" * 64,
            target="/t",
            status="running",
            hostname=platform.node(),
            pid=_pid_of_a_dead_process(),
            started_at=now,
            updated_at=now,
        )
    )
    found = app.recovery.get_recovery_progress("s")
    assert found is not None and found.status is RecoveryStatus.FAILED and "has ended" in found.error
    assert app.recovery.cancel_recovery("s") is False


def _pid_of_a_dead_process() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_what_cannot_be_restored_fails_the_session_and_is_named(
    app: Application, backed_up: str, tmp_path: Path
) -> None:
    for pack in (tmp_path / "store" / "备份" / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            content = bytearray(pack.read_bytes())
            content[20] ^= 1
            pack.write_bytes(content)
    session_id = app.recovery.one_click_restore("文档", tmp_path / "out")
    app.recovery.executor.wait()
    ended = app.recovery.get_recovery_progress(session_id)
    assert ended is not None and ended.status is RecoveryStatus.FAILED
    assert "could not be restored" in ended.error and ended.errors


def test_an_error_before_the_first_byte_is_told(
    app: Application, backed_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.recovery.executor, "_plan", lambda *_: 1 / 0)
    session_id = app.recovery.one_click_restore("文档", tmp_path / "out")
    app.recovery.executor.wait()
    ended = app.recovery.get_recovery_progress(session_id)
    assert ended is not None and ended.status is RecoveryStatus.FAILED and "division" in ended.error
