"""Backups that cannot fit are refused before they begin; a full server can be cleaned up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup_core.cli.exits import ExitCode, exit_code_of
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import BackupExecutionError, QuotaExceeded
from backup_core.services.application import Application, open_application
from backup_core.services.retention.pruning import PruneLimits
from backup_core.storage.backend import Space
from backup_core.storage.local import LocalBackend
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

Configured = Callable[..., BackupConfig]
MIB = 1 << 20


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Says how much room the disk has."""

    def say(available: int | None) -> None:
        monkeypatch.setattr(LocalBackend, "space", lambda _: Space(used=0, available=available))

    return say


def test_a_backup_that_cannot_fit_is_refused(
    app: Application, configured: Configured, source: Path, room: Callable[[int | None], None], tmp_path: Path
) -> None:
    configured(hooks={"before": [f"touch {tmp_path}/ran"]})
    (source / "large").write_bytes(os.urandom(3 * MIB))
    room(2 * MIB)
    with pytest.raises(BackupExecutionError) as caught:
        app.backup("文档")
    assert "cannot fit: it needs about" in str(caught.value) and "2,097,152 bytes left" in str(caught.value)
    assert isinstance(caught.value.__cause__, QuotaExceeded)
    assert exit_code_of(caught.value) is ExitCode.STORAGE
    assert app.runs("文档")[0].outcome == "failed"
    assert app.backups("文档", refresh=True) == [] and not (tmp_path / "ran").exists()
    # What compresses well fits, and so does what is stored already.
    (source / "large").write_bytes(b"line\n" * 600_000)
    app.backup("文档")
    assert (tmp_path / "ran").exists()
    room(100_000)
    (source / "一.txt").write_text("another")
    assert app.backup("文档").files_changed == 1


def test_the_check_can_be_left_out_and_unknown_room_is_enough(
    app: Application, configured: Configured, source: Path, room: Callable[[int | None], None]
) -> None:
    configured()
    (source / "large").write_bytes(os.urandom(MIB))
    room(1000)
    app.backup("文档", space_check=False)
    room(None)
    app.backup("文档")


class Quota:
    """Answers 507 to uploads that do not fit."""

    def __init__(self, server: WebDAVServer) -> None:
        self.server = server
        self.limit: int | None = None
        self.refused = 0

    def used(self) -> int:
        return sum(p.stat().st_size for p in self.server.root.rglob("*") if p.is_file())

    def __call__(self, request: Request) -> Answer | None:
        length = int(request.headers.get("content-length") or 0)
        if self.limit is None or request.method != "PUT" or self.used() + length <= self.limit:
            return None
        self.refused += 1
        return Answer("507 Insufficient Storage")


@pytest.fixture
def full(tmp_path: Path, dav: WebDAVServer, source: Path) -> Iterator[tuple[Application, Quota]]:
    """Two backups on a server that then has not a byte left, and a third one that was cut off by that."""
    quota = Quota(dav)
    dav.fault = quota
    with open_application(tmp_path / "home") as app:
        client = ClientConfig(name="c", url=dav.url, username=dav.username, password="env:DAV", retry_seconds=0)
        app.add_client(client)
        app.add_config(
            BackupConfig(name="docs", source_paths=[str(source)], target_client_id="c", target_path="/b",
                         encrypt_key="env:TEST_KEY", pack_size=4 * MIB)
        )  # fmt: skip
        (source / "large").write_bytes(os.urandom(2 * MIB))
        app.backup("docs")
        (source / "large").write_bytes(os.urandom(2 * MIB))
        app.backup("docs")
        quota.limit = quota.used() + MIB
        (source / "large").write_bytes(os.urandom(9 * MIB))
        with pytest.raises(BackupExecutionError) as caught:
            app.backup("docs", space_check=False)
        assert isinstance(caught.value.__cause__, QuotaExceeded)
        quota.limit = quota.used()
        yield app, quota


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch, dav: WebDAVServer) -> None:
    monkeypatch.setenv("DAV", dav.password.reveal())


def test_a_full_server_is_cleaned_up_and_takes_backups_again(
    full: tuple[Application, Quota], tmp_path: Path, source: Path
) -> None:
    app, quota = full
    assert app.manager.cleanup_old_backups("docs", keep_count=1) == 1
    pruned = app.prune("docs", limits=PruneLimits(max_unused="0"))
    assert pruned.freed_bytes > MIB
    assert quota.used() < (quota.limit or 0) - MIB
    (source / "large").write_bytes(os.urandom(MIB))
    done = app.backup("docs")
    assert app.backups("docs", refresh=True)[0].backup_id == done.backup_id
    app.restore("docs", target=tmp_path / "back")
    assert (tmp_path / "back" / source.name / "large").read_bytes() == (source / "large").read_bytes()
    assert all(result.is_valid for result in app.validate(config_name="docs", depth="data"))
    assert (quota.server.root / "b" / "davault" / "reserve").exists()
