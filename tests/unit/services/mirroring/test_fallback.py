"""Restores that the first repository cannot give: single objects, or all of it, come from a mirror."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import Cancelled, ConfigError, NotARepository
from backup_core.progress import CancelToken
from backup_core.results import Outcome, RestoreSummary
from backup_core.services.application import Application, open_application
from backup_core.services.records import BackupManifest
from backup_core.services.recovery_records import RecoveryStatus
from backup_core.testing.trees import describe
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

PLACES = {"云": "store", "盘": "盘", "远": "远"}
"""Clients, and their directories."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, a source, its backup, and two mirrors of it, to be copied for each test."""
    place = tmp_path_factory.mktemp("prepared")
    source = place / "源"
    (source / "子").mkdir(parents=True)
    (source / "一.txt").write_text("一" * 1000)
    (source / "子" / "二.pdf").write_text("二" * 1000)
    (source / "大.bin").write_bytes(random.Random(3).randbytes(900_000))
    with pytest.MonkeyPatch.context() as patch, open_application(place / "home") as app:
        patch.setenv("TEST_KEY", "密钥")
        for name, directory in PLACES.items():
            app.add_client(ClientConfig(name=name, url=str(place / directory)))
        app.add_config(
            BackupConfig(
                name="文档", source_paths=[str(source)], target_client_id="云", target_path="/备份",
                encrypt_key="env:TEST_KEY",
            )
        )  # fmt: skip
        app.backup("文档")
        for name in ("盘", "远"):
            app.mirroring.run("文档", to=name)
    return place


@pytest.fixture
def source(tmp_path: Path, prepared: Path) -> Path:
    return Path(shutil.copytree(prepared / "源", tmp_path / "源", symlinks=True))


@pytest.fixture
def app(tmp_path: Path, prepared: Path) -> Iterator[Application]:
    """An application on a copy of what was prepared."""
    for directory in ("home", *PLACES.values()):
        shutil.copytree(prepared / directory, tmp_path / directory)
    with open_application(tmp_path / "home") as application:
        for name, directory in PLACES.items():
            application.add_client(ClientConfig(name=name, url=str(tmp_path / directory)), replace=True)
        yield application


@pytest.fixture
def mirrored(app: Application, source: Path) -> BackupConfig:
    """A configuration with one backup, copied to two mirrors."""
    config = app.get_config("文档")
    config.source_paths = [str(source)]
    app.add_config(config, replace=True)
    return config


def forget_cache(app: Application) -> None:
    """As on a machine that has never seen the repository."""
    shutil.rmtree(app.home.cache)


def first_place(tmp_path: Path) -> Path:
    return tmp_path / "store" / "备份"


def restored(app: Application, config: BackupConfig, tmp_path: Path, source: Path) -> RestoreSummary:
    """A restore that must bring everything back."""
    forget_cache(app)
    summary = app.restore(config.name, target=tmp_path / "out", verify=True)
    assert describe(tmp_path / "out" / source.name) == describe(source)
    assert not summary.failed
    return summary


def kinds(summary: RestoreSummary) -> set[str]:
    return {problem.kind for problem in summary.problems}


def test_a_whole_first_copy_leaves_the_mirrors_alone(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    for name in ("盘", "远"):
        shutil.rmtree(tmp_path / name)
    summary = restored(app, mirrored, tmp_path, source)
    assert summary.outcome is Outcome.COMPLETED
    assert list(summary.blobs_by_copy) == [str(first_place(tmp_path))]


@pytest.mark.parametrize("directory", ["data", "index", "snapshots"])
@pytest.mark.parametrize("how", ["gone", "zeroed"])
def test_damage_of_any_kind_in_the_first_copy_is_made_good_by_a_mirror(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path, directory: str, how: str
) -> None:
    for path in list((first_place(tmp_path) / directory).rglob("*")):
        if path.is_file() and how == "gone":
            path.unlink()
        elif path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"\0" * path.stat().st_size)
    summary = restored(app, mirrored, tmp_path, source)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert "from-mirror" in kinds(summary)
    assert any("盘:/备份" in problem.message for problem in summary.problems if problem.kind == "from-mirror")


def test_only_the_damaged_blobs_come_from_the_mirror(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    largest = max((first_place(tmp_path) / "data").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(largest.read_bytes())
    content[100] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(content)
    summary = restored(app, mirrored, tmp_path, source)
    here, there = str(first_place(tmp_path)), "盘:/备份"
    assert summary.blobs_by_copy[there] == 1
    assert summary.blobs_by_copy[here] >= 2
    (told,) = [p.message for p in summary.problems if p.kind == "from-mirror"]
    assert largest.name[:16] in told


def test_what_one_mirror_lacks_too_comes_from_the_next(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    shutil.rmtree(first_place(tmp_path) / "data")
    shutil.rmtree(tmp_path / "盘" / "备份" / "data")
    summary = restored(app, mirrored, tmp_path, source)
    assert list(summary.blobs_by_copy) == ["远:/备份"]


@pytest.mark.parametrize("loss", ["folder", "config", "keys"])
def test_a_first_repository_that_cannot_be_opened_is_replaced_by_a_mirror(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path, loss: str
) -> None:
    place = first_place(tmp_path)
    if loss == "folder":
        shutil.rmtree(place)
    elif loss == "keys":
        shutil.rmtree(place / "keys")
    else:
        (place / "config").chmod(0o600)
        (place / "config").write_bytes(b"\0" * 155)
    summary = restored(app, mirrored, tmp_path, source)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert {"copy-unusable", "from-mirror"} <= kinds(summary)
    assert list(summary.blobs_by_copy) == [str(tmp_path / "盘" / "备份")]


def test_the_newest_backup_that_a_mirror_has_is_chosen_when_the_first_place_is_gone(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    on_the_mirrors = app.backups(mirrored.name)[0]
    expected = describe(source)
    (source / "later").write_text("never mirrored")
    app.backup(mirrored.name)
    shutil.rmtree(first_place(tmp_path))
    summary = app.restore(mirrored.name, target=tmp_path / "out")
    assert summary.backup_id == on_the_mirrors.backup_id
    assert describe(tmp_path / "out" / source.name) == expected
    early = on_the_mirrors.created_at - timedelta(days=1)
    with pytest.raises(ConfigError, match="after the time asked for"):
        app.restore(mirrored.name, target=tmp_path / "out", at=early)


def test_a_new_machine_restores_from_a_mirror_alone(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    """Nothing is left but the exported configuration, the key and the mirror."""
    text = app.export_configs()
    backup = app.backups(mirrored.name)[0]
    shutil.rmtree(first_place(tmp_path))
    file = tmp_path / "all.toml"
    file.write_text(text)
    with open_application(tmp_path / "new home") as other:
        other.import_configs(file)
        preview = other.plan_restore(mirrored.name, target=tmp_path / "out")
        assert preview.backup_id == backup.backup_id
        assert any("盘:/备份" in note for note in preview.notes)
        summary = other.restore(backup_id=backup.backup_id, target=tmp_path / "out")
        assert summary.backup_id == backup.backup_id
    assert describe(tmp_path / "out" / source.name) == describe(source)


def test_selective_and_one_click_restores_fall_back_and_say_so(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    shutil.rmtree(first_place(tmp_path) / "data")
    forget_cache(app)
    backup: BackupManifest = app.backups(mirrored.name)[0]
    sessions = [
        app.recovery.selective_restore(backup.backup_id, tmp_path / "some", ["*.pdf"]),
        app.recovery.one_click_restore(mirrored.name, tmp_path / "all"),
    ]
    app.recovery.executor.wait()
    for session in sessions:
        progress = app.recovery.get_recovery_progress(session)
        assert progress is not None
        assert progress.status is RecoveryStatus.COMPLETED
        assert any("were taken from 盘:/备份" in told for told in progress.errors)
    assert describe(tmp_path / "all" / source.name) == describe(source)
    assert [p.name for p in (tmp_path / "some").rglob("*") if p.is_file()] == ["二.pdf"]


def test_without_any_whole_copy_the_first_ones_error_is_told(
    app: Application, mirrored: BackupConfig, tmp_path: Path
) -> None:
    for place in ("store", "盘", "远"):
        shutil.rmtree(tmp_path / place)
    backup = app.backups(mirrored.name)[0]
    with pytest.raises(NotARepository, match="store"):
        app.restore(backup_id=backup.backup_id, target=tmp_path / "out")


def test_a_first_server_that_is_down_from_the_start(
    app: Application, mirrored: BackupConfig, dav: WebDAVServer, tmp_path: Path, source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = over_webdav(app, mirrored, dav, tmp_path)
    monkeypatch.setattr("backup_core.services.mirroring.fallback.PATIENCE", 0.0)
    dav.fault = lambda request: Answer("503 Service Unavailable")
    summary = app.restore(config.name, target=tmp_path / "out")
    assert describe(tmp_path / "out" / source.name) == describe(source)
    assert list(summary.blobs_by_copy) == [str(tmp_path / "盘" / "备份")]
    assert "503" in " ".join(problem.message for problem in summary.problems)


def test_a_plan_for_disasters_is_carried_out_from_the_mirrors(
    app: Application, mirrored: BackupConfig, tmp_path: Path, source: Path
) -> None:
    plan = app.recovery.create_disaster_recovery_plan("all", [mirrored.name], tmp_path / "recovered")
    shutil.rmtree(first_place(tmp_path))
    (session,) = app.recovery.execute_disaster_recovery(plan).values()
    app.recovery.executor.wait()
    progress = app.recovery.get_recovery_progress(session)
    assert progress is not None
    assert progress.status is RecoveryStatus.COMPLETED
    (root,) = (path.parent for path in (tmp_path / "recovered").rglob(source.name))
    assert describe(root / source.name) == describe(source)


def test_a_server_that_has_just_failed_is_not_waited_for_again(app: Application, mirrored: BackupConfig) -> None:
    fallback = app.recovery.executor.fallback
    assert fallback.patience(mirrored) == 60.0
    fallback.note_failure(mirrored)
    assert fallback.patience(mirrored) == 0.0
    assert fallback.patience(mirrored.model_copy(update={"mirrors": []})) is None


def test_a_first_server_that_goes_down_in_the_middle(
    app: Application, mirrored: BackupConfig, dav: WebDAVServer, tmp_path: Path, source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = over_webdav(app, mirrored, dav, tmp_path)
    monkeypatch.setattr("backup_core.services.mirroring.fallback.PATIENCE", 0.0)
    down = threading.Event()

    def fail(request: Request) -> Answer | None:
        if request.method == "GET" and "/data/" in request.path:
            down.set()
        return Answer("503 Service Unavailable") if down.is_set() else None

    dav.fault = fail
    summary = app.restore(config.name, target=tmp_path / "out")
    assert describe(tmp_path / "out" / source.name) == describe(source)
    assert list(summary.blobs_by_copy) == ["盘:/备份"]
    assert not summary.failed


def over_webdav(app: Application, mirrored: BackupConfig, dav: WebDAVServer, tmp_path: Path) -> BackupConfig:
    """The first copy behind a WebDAV server, one mirror in a directory; nothing in this machine's cache."""
    shutil.copytree(tmp_path / "store", tmp_path / "dav", dirs_exist_ok=True)
    app.add_client(ClientConfig(name="云", url=dav.url, username=dav.username), password=dav.password, replace=True)
    mirrored.mirrors = mirrored.mirrors[:1]
    app.add_config(mirrored, replace=True)
    forget_cache(app)
    return mirrored


def test_the_error_of_a_cancelled_restore_is_not_mistaken_for_a_failing_server(
    app: Application, mirrored: BackupConfig, tmp_path: Path
) -> None:
    cancel = CancelToken()
    cancel.cancel("changed my mind")
    with pytest.raises(Cancelled):
        app.restore(mirrored.name, target=tmp_path / "out", cancel=cancel)
