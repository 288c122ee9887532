"""The main job on everything at once: a hostile tree, over HTTP, judged by the real restic in both directions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import ClientConfig
from backup_core.engine.compare import compare_trees
from backup_core.results import BackupSummary, Outcome
from backup_core.services.application import Application, open_application
from backup_core.services.backup_service import BackupConfig
from backup_core.testing.hostile_trees import GIB, make_hostile_tree
from backup_core.testing.webdav_server import WebDAVServer

pytestmark = [pytest.mark.restic, pytest.mark.slow, pytest.mark.usefixtures("full_cost")]

KEY = "钥匙 of the repository"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every odd kind of file, 20,000 small ones, and one of 3 GB that is nearly all hole."""
    top = tmp_path_factory.mktemp("hostile") / "重要文档"
    make_hostile_tree(top, small_files=20_000, sparse_size=3 * GIB)
    yield top
    shutil.rmtree(top)


@pytest.fixture
def app(dav: WebDAVServer, hostile: Path, tmp_path: Path) -> Iterator[Application]:
    """An application with one client and one configuration, as a user sets them up."""
    with open_application(tmp_path / "home") as application:
        application.add_client(ClientConfig(name="云盘", url=dav.url, username=dav.username), password=dav.password)
        (tmp_path / "key").write_text(KEY)
        application.add_config(
            BackupConfig(
                name="重要文档",
                source_paths=[str(hostile)],
                target_client_id="云盘",
                target_path="/backups/all",
                encrypt=True,
                encrypt_key=f"file:{tmp_path / 'key'}",
            )
        )
        yield application


def complete(summary: BackupSummary) -> BackupSummary:
    assert summary.outcome is Outcome.COMPLETED, summary.problems
    return summary


def differences(hostile: Path, restored: Path) -> list[str]:
    return [str(difference) for difference in compare_trees(hostile, restored)]


def test_what_we_write_restic_reads(
    app: Application, dav: WebDAVServer, hostile: Path, tmp_path: Path, restic_old: Any, restic_new: Any
) -> None:
    first = complete(app.backup("重要文档", kind="full"))
    assert first.files_new == first.files > 20_000
    assert first.total_size > 3 * GIB
    assert first.stored_size < GIB // 4  # the hole takes no room
    second = complete(app.backup("重要文档", kind="incremental"))
    assert second.files_unchanged == first.files
    assert second.data_added < 16 * 1024  # at most the directories above the source, whose times moved

    served = dav.root / "backups" / "all"
    for program in (restic_old, restic_new):
        assert "no errors were found" in program.check(served, KEY)
    assert [s["tags"][0] for s in restic_new.json("snapshots", repository=served, password=KEY)] == ["davault"] * 2
    restic_new.run("restore", "latest", "--sparse", "--target", tmp_path / "r", repository=served, password=KEY)
    assert differences(hostile, tmp_path / "r" / hostile.relative_to("/")) == []

    summary = app.restore("重要文档", target=tmp_path / "ours", verify=True)
    assert not summary.failed
    assert differences(hostile, tmp_path / "ours" / hostile.name) == []
    shutil.rmtree(tmp_path / "ours")
    shutil.rmtree(tmp_path / "r")


def test_what_restic_writes_we_read(
    app: Application, dav: WebDAVServer, hostile: Path, tmp_path: Path, restic_new: Any
) -> None:
    served = dav.root / "backups" / "all"
    served.mkdir(parents=True)
    restic_new.run("init", repository=served, password=KEY)
    restic_new.run("backup", hostile, repository=served, password=KEY)

    (backup,) = app.backups("重要文档", refresh=True)
    (result,) = app.validate([backup.backup_id], depth="data")
    assert result.is_valid, result.errors
    assert result.files_passed == result.files_checked > 20_000
    summary = app.restore(backup_id=backup.backup_id, target=tmp_path / "ours")
    assert not summary.failed
    assert differences(hostile, tmp_path / "ours" / hostile.name) == []

    ours = complete(app.backup("重要文档", kind="incremental"))
    assert ours.files_unchanged == ours.files  # restic's snapshot served as the parent
    restic_new.run("forget", "--keep-last", "1", "--group-by", "", "--prune", repository=served, password=KEY)
    restic_new.check(served, KEY)
    results = app.validate(config_name="重要文档", depth="quick")
    assert {result.backup_id: result.is_valid for result in results} == {ours.backup_id: True, backup.backup_id: False}
    app.vanished.accept([backup.backup_id])  # a person says that restic was right to forget its own
    (left,) = app.validate(config_name="重要文档", depth="quick")
    assert left.is_valid, left.errors
    shutil.rmtree(tmp_path / "ours")
