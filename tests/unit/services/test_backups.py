"""Backups through the application: keys, shared repositories, what is refused, and what the catalogue knows."""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backup_core.config.models import ClientConfig
from backup_core.errors import (
    BackupExecutionError,
    Cancelled,
    CatalogueError,
    ConfigError,
    ListingUnproved,
    LockHeld,
    NotARepository,
    RepositoryExists,
    WrongKey,
)
from backup_core.progress import CancelToken
from backup_core.results import Outcome
from backup_core.services.application import Application, open_application
from backup_core.storage.local import LocalBackend


def ids(app: Application, name: str | None = None) -> list[str]:
    return [b.backup_id for b in app.backups(name)]


def test_a_first_backup_makes_its_repository(app: Application, configured) -> None:
    configured()
    assert app.backups("文档") == []
    with pytest.raises(NotARepository):
        app.repository_info("文档")
    summary = app.backup("文档")
    assert summary.backup_type == "full" and summary.encrypted and summary.files == 2
    assert summary.outcome is Outcome.COMPLETED
    info = app.repository_info("文档")
    assert (info.encrypted, info.created, info.version, info.key_source) == (True, False, 2, "env:TEST_KEY")
    assert ids(app, "文档") == [summary.backup_id]
    run = app.runs("文档")[0]
    assert (run.outcome, run.figures["files"], run.backup_id) == ("completed", 2, summary.backup_id)


def test_init_is_explicit_and_only_once(app: Application, configured) -> None:
    configured()
    assert app.init_repository("文档").created
    with pytest.raises(RepositoryExists):
        app.init_repository("文档")
    assert app.backup("文档", kind="full").files == 2


def test_a_dry_run_leaves_nothing(app: Application, configured, tmp_path: Path) -> None:
    configured()
    summary = app.backup("文档", dry_run=True)
    assert summary.dry_run and summary.files == 2 and summary.snapshot_id == ""
    assert any("no repository yet" in note for note in summary.notes)
    assert not (tmp_path / "store").exists() or not any((tmp_path / "store").rglob("*"))
    assert app.runs() == [] and app.backups("文档") == []
    app.backup("文档")
    assert app.backup("文档", dry_run=True).files_unchanged == 2
    assert len(app.runs()) == 1


def test_without_a_key_one_is_made_and_announced_once(
    app: Application, configured, caplog: pytest.LogCaptureFixture
) -> None:
    configured(encrypt_key=None)
    file = app.home.key_file("文档")
    with caplog.at_level(logging.WARNING):
        first = app.backup("文档")
        second = app.backup("文档")
    told = [r.getMessage() for r in caplog.records if str(file) in r.getMessage()]
    assert len(told) == 1 and "NOBODY CAN READ" in told[0]
    assert any(str(file) in note for note in first.notes) and not any(str(file) in n for n in second.notes)
    assert len(file.read_text().strip()) >= 43 and file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in caplog.text


def test_a_configuration_without_key_uses_that_of_its_repository(app: Application, configured) -> None:
    configured("一", encrypt_key=None)
    app.backup("一")
    configured("二", encrypt_key=None)
    app.backup("二")
    assert not app.home.key_file("二").exists()
    assert app.repository_info("二").key_source == f"file:{app.home.key_file('一')}"


def test_the_environments_key_comes_before_a_key_file(
    app: Application, configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAVAULT_KEY", "from the environment")
    configured(encrypt_key=None)
    app.backup("文档")
    assert app.repository_info("文档").key_source == "env:DAVAULT_KEY"
    assert not app.home.key_file("文档").exists()


def test_a_later_environment_does_not_lock_out_the_key_file(
    app: Application, configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(encrypt_key=None)
    app.backup("文档")
    monkeypatch.setenv("DAVAULT_KEY", "something else")
    assert app.repository_info("文档").key_source.startswith("file:")


def test_a_repository_without_its_key_is_never_made_anew(app: Application, configured, tmp_path: Path) -> None:
    configured(encrypt_key=None)
    app.backup("文档")
    app.home.key_file("文档").unlink()
    before = sorted(p for p in (tmp_path / "store").rglob("*"))
    with pytest.raises((ConfigError, BackupExecutionError), match="there is no key"):
        app.backup("文档")
    assert not app.home.key_file("文档").exists()
    assert sorted(p for p in (tmp_path / "store").rglob("*")) == before


def test_a_wrong_key_is_refused_and_makes_nothing(app: Application, configured, tmp_path: Path) -> None:
    configured("一")
    app.backup("一")
    configured("二", encrypt_key="another")
    with pytest.raises(BackupExecutionError, match="must use the same key") as caught:
        app.backup("二")
    assert isinstance(caught.value.__cause__, WrongKey)
    assert len(list((tmp_path / "store").rglob("config"))) == 1
    configured("二", encrypt_key="another", encrypt=False)
    with pytest.raises(BackupExecutionError, match="is encrypted, but"):
        app.backup("二")
    with pytest.raises(WrongKey):
        app.backups("二")


def test_an_open_repository_is_not_taken_for_an_encrypted_one(app: Application, configured) -> None:
    configured(encrypt=False, encrypt_key=None)
    summary = app.backup("文档")
    assert not summary.encrypted and any("NOT encrypted" in note for note in summary.notes)
    assert app.backups("文档")[0].encrypted is False
    configured(encrypt=True)
    with pytest.raises(BackupExecutionError, match="NOT encrypted"):
        app.backup("文档")


def test_configurations_share_a_repository(app: Application, configured, tmp_path: Path) -> None:
    configured("一")
    configured("二")
    one, two = app.backup("一"), app.backup("二")
    assert two.data_added < one.data_added / 4, "the same files are stored once"
    assert (ids(app, "一"), ids(app, "二")) == ([one.backup_id], [two.backup_id])
    assert set(ids(app)) == {one.backup_id, two.backup_id}
    usage = app.manager.get_storage_usage()
    packs = sum(p.stat().st_size for p in (tmp_path / "store" / "备份" / "data").rglob("*") if p.is_file())
    assert usage.total_size == packs == sum(info["total_size"] for info in usage.by_config.values())


def test_an_unproved_listing_never_makes_a_repository(
    app: Application, configured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = LocalBackend.list
    monkeypatch.setattr(
        LocalBackend, "list", lambda self, name: replace(honest(self, name), proved_complete=False, doubt="750 entries")
    )
    configured()
    with pytest.raises(BackupExecutionError) as caught:
        app.backup("文档")
    assert isinstance(caught.value.__cause__, ListingUnproved)
    assert not (tmp_path / "store" / "备份" / "config").exists()


@pytest.mark.usefixtures("full_cost")
def test_two_backups_of_one_configuration_at_once_are_refused(app: Application, configured, tmp_path: Path) -> None:
    configured()
    inside, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        inside.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: app.backup("文档", progress=hold))
    thread.start()
    assert inside.wait(30)
    try:
        with open_application(tmp_path / "home") as other, pytest.raises(LockHeld, match="already"):
            other.backup("文档")
    finally:
        go_on.set()
        thread.join()
    assert app.backup("文档").outcome is Outcome.COMPLETED


def test_cancelling_is_recorded(app: Application, configured) -> None:
    configured()
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        app.backup("文档", cancel=cancel)
    assert app.runs()[0].outcome == "cancelled"


def test_a_catalogue_that_fails_does_not_fail_a_backup(app: Application, configured, monkeypatch) -> None:
    configured()
    history = app.manager.backup_service.catalogue.history

    def broken(*_: object, **__: object) -> None:
        raise CatalogueError("the disk is full")

    monkeypatch.setattr(history, "end_run", broken)
    summary = app.backup("文档")
    assert summary.snapshot_id and any("disk is full" in p.message for p in summary.problems)


def test_without_its_catalogue_nothing_is_lost(app: Application, configured, tmp_path: Path) -> None:
    config = configured()
    made = [app.backup("文档").backup_id for _ in range(3)][::-1]
    before = app.backups("文档")
    app.close()
    for file in (tmp_path / "home").glob("catalogue.db*"):
        file.unlink()
    with open_application(tmp_path / "home") as again:
        again.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        again.add_config(config)
        assert ids(again, "文档") == made
        after = again.backups("文档")
        assert [(b.snapshot_id, b.backup_type, b.total_size, b.file_count, b.parent) for b in after] == [
            (b.snapshot_id, b.backup_type, b.total_size, b.file_count, b.parent) for b in before
        ]


def test_what_was_removed_elsewhere_disappears_when_asked(app: Application, configured, tmp_path: Path) -> None:
    configured()
    first, second = app.backup("文档"), app.backup("文档")
    (tmp_path / "store" / "备份" / "snapshots" / first.snapshot_id).unlink()
    assert len(app.backups("文档")) == 2
    assert [b.backup_id for b in app.backups("文档", refresh=True)] == [second.backup_id]


def test_a_damaged_snapshot_stays_listed_and_fails_its_validation(app: Application, configured, tmp_path: Path) -> None:
    configured()
    first, second = app.backup("文档"), app.backup("文档")
    file = tmp_path / "store" / "备份" / "snapshots" / first.snapshot_id
    file.chmod(0o600)
    file.write_bytes(b"x" * file.stat().st_size)
    shutil.rmtree(app.home.cache)
    assert [b.backup_id for b in app.backups("文档", refresh=True)] == [second.backup_id, first.backup_id]
    results = {r.backup_id: r for r in app.validate(config_name="文档")}
    assert results[second.backup_id].is_valid and not results[first.backup_id].is_valid
    assert app.backup("文档").backup_type in ("full", "incremental")


def test_backups_are_found_by_their_snapshot(app: Application, configured) -> None:
    configured()
    summary = app.backup("文档")
    assert app.get_backup(summary.snapshot_id[:8]).backup_id == summary.backup_id
    with pytest.raises(ConfigError, match="no backup"):
        app.get_backup("0" * 8)


def test_files(app: Application, configured, source: Path) -> None:
    configured()
    backup_id = app.backup("文档").backup_id
    entries = {e.path: e for e in app.files(backup_id)}
    file = entries[str(source / "子" / "二.pdf")]
    assert (file.type, file.size) == ("file", 3000)
    assert entries[str(source / "子")].type == "dir"
    assert [e.path for e in app.files(backup_id, "*.pdf")] == [str(source / "子" / "二.pdf")]


def test_snapshots_of_another_program_are_listed_and_restored(
    app: Application, configured, source: Path, tmp_path: Path, restic_new
) -> None:
    configured()
    own = app.backup("文档")
    restic_new.run("backup", source, repository=tmp_path / "store" / "备份", password="密钥")
    listed = app.backups("文档", refresh=True)
    foreign = next(b for b in listed if not b.config_name)
    assert len(listed) == 2 and foreign.backup_id == foreign.snapshot_id[:8]
    app.restore(backup_id=foreign.backup_id, target=tmp_path / "out")
    assert (tmp_path / "out" / "源" / "一.txt").read_text() == "一" * 1000
    app.restore("文档", target=tmp_path / "own")
    assert (tmp_path / "own" / "源" / "一.txt").exists()
    assert all(r.is_valid for r in app.validate([foreign.backup_id, own.backup_id], depth="data"))


def test_backups_of_a_removed_configuration_are_reached_through_its_neighbour(
    app: Application, configured, tmp_path: Path
) -> None:
    configured("一")
    configured("二")
    backup_id = app.backup("一").backup_id
    app.backup("二")
    app.remove_config("一")
    app.restore(backup_id=backup_id, target=tmp_path / "out")
    assert (tmp_path / "out" / "源" / "一.txt").exists()
    app.remove_config("二")
    with pytest.raises(ConfigError, match="no configuration leads"):
        app.restore(backup_id=backup_id, target=tmp_path / "out")


def test_all_that_can_be_checked_is_checked(app: Application, configured, tmp_path: Path) -> None:
    configured("一", target_path="/a")
    configured("二", target_path="/b")
    one, two = app.backup("一"), app.backup("二")
    (tmp_path / "store" / "b" / "config").unlink()
    results = {r.backup_id: r for r in app.validate()}
    assert results[one.backup_id].is_valid
    assert not results[two.backup_id].is_valid and "could not be checked" in results[two.backup_id].errors[0]
    with pytest.raises(NotARepository):
        app.validate([two.backup_id])
    with pytest.raises(ConfigError, match="depth"):
        app.validate([one.backup_id], depth="deep")
    assert app.backups("一")[0].validated_at is not None and app.backups("二")[0].validated_at is None


def test_a_backup_finishes_a_creation_that_was_cut_off_within_its_config(
    app: Application, configured, tmp_path: Path
) -> None:
    configured()
    app.init_repository("文档")
    whole = tmp_path / "store" / "备份" / "config"
    # A server that keeps halves, and a death: what comes after the config is not there yet.
    shutil.rmtree(whole.parent / "davault")
    whole.write_bytes(whole.read_bytes()[:40])
    first = app.backup("文档")
    assert [backup.backup_id for backup in app.backups("文档", refresh=True)] == [first.backup_id]
    # Half a config beside a backup is damage, and nothing is made anew over it.
    whole.write_bytes(half := whole.read_bytes()[:40])
    with pytest.raises(BackupExecutionError, match="damaged"):
        app.backup("文档")
    assert whole.read_bytes() == half
