"""The flows with nothing replaced: real files, a real WebDAV server, and restic as the judge."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.services.application import open_application
from backup_core.testing.trees import change_tree, describe, differences, make_tree
from backup_core.testing.webdav_server import Request, WebDAVServer
from flows.backup import full_backup, incremental_backup
from flows.restore import restore
from flows.validate import validate_backups

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

NAME = "重要文档"


@pytest.fixture
def source(tmp_path: Path, dav: WebDAVServer) -> Path:
    """A tree, and a configuration that backs it up to the server."""
    tree = make_tree(tmp_path / "文档")
    with open_application() as application:
        application.add_client(ClientConfig(name="cloud", url=dav.url, username=dav.username), password=dav.password)
        application.add_config(
            BackupConfig(name=NAME, source_paths=[str(tree)], target_client_id="cloud", target_path="/backups")
        )
    return tree


def test_the_main_job(source: Path, tmp_path: Path, dav: WebDAVServer, restic: Any) -> None:
    full: Any = full_backup(NAME)
    change_tree(source)
    incremental: Any = incremental_backup(NAME)
    assert (full.backup_type, incremental.backup_type) == ("full", "incremental")
    assert (full.files_new, incremental.files_new, incremental.files_changed) == (40, 4, 3)

    results: Any = validate_backups(NAME, depth="data")
    assert [r.is_valid for r in results] == [True, True]

    restore(target=str(tmp_path / "restored"), configuration=NAME)
    assert differences(describe(source), describe(tmp_path / "restored" / source.name)) == []

    key = (tmp_path / "davault-home" / "keys" / f"{NAME}.key").read_text().strip()
    restic.check(dav.root / "backups", password=key)


def test_a_cancelled_backup_leaves_no_lock_and_the_next_one_completes(source: Path, dav: WebDAVServer) -> None:
    (source / "large").write_bytes(random.Random(5).randbytes(60 << 20))
    cancel = CancelToken()

    def second_pack(request: Request) -> None:
        if request.method == "PUT" and "/data/" in request.path and dav.requests["PUT"] > 4:
            cancel.cancel("the user pressed the button")

    dav.fault = second_pack
    with open_application() as application, pytest.raises(Cancelled):
        application.backup(NAME, kind="full", cancel=cancel)
    assert [p for p in (dav.root / "backups" / "locks").rglob("*") if p.is_file()] == []

    dav.fault = None
    summary: Any = full_backup(NAME)
    assert summary.files == 41


def test_a_damaged_pack_fails_the_validation(source: Path, dav: WebDAVServer) -> None:
    full_backup(NAME)
    pack = max((dav.root / "backups" / "data").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(pack.read_bytes())
    content[len(content) // 3] ^= 1
    pack.write_bytes(content)

    state: Any = validate_backups(NAME, depth="data", return_state=True)

    assert state.is_failed()
    assert "1 of 1 backups are damaged" in state.message
