"""Everything local is gone: the address and the key bring it back."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError, ListingUnproved, NotARepository, WrongKey
from backup_core.repository.sealed_records import RecordName, SealedRecords
from backup_core.services.application import Application, open_application
from backup_core.services.home_recovery.wishes import Change, GivenKey, RecoveryReport, RecoveryWish
from backup_core.storage.local import LocalBackend
from backup_core.types import Secret

KEY = GivenKey(Secret("密钥"), "env:TEST_KEY", "env:TEST_KEY")


@pytest.fixture
def recovered(tmp_path: Path) -> Callable[..., tuple[Application, RecoveryReport]]:
    """Recovers into a home that does not exist yet."""
    opened: list[Application] = []

    def run(*, home: str = "new", path: str = "/", url: Path | None = None, **wish):
        app = open_application(tmp_path / home)
        opened.append(app)
        account = ClientConfig(name="recovered", url=str(url or tmp_path / "store"))
        wanted = RecoveryWish(**{"account": account, "path": path, "keys": (KEY,), **wish})
        return app, app.home_recovery.recover(wanted)

    yield run
    for app in opened:
        app.close()


@pytest.fixture
def lived(app: Application, configured, source: Path, tmp_path: Path) -> Application:
    """A home with two configurations in two repositories, history and a plan; closed."""
    configured(exclude_patterns=["*.tmp"], max_versions=30, schedule_time="02:00")
    configured("照片", target_path="/家/照片")
    app.backup("文档")
    (source / "三.txt").write_text("三")
    app.backup("文档")
    app.backup("照片")
    app.recovery.create_disaster_recovery_plan("整个", ["文档", "照片"], str(tmp_path / "dr"))
    assert not app.records.kept("文档") and not app.records.kept("照片")
    return app


def same_trees(one: Path, other: Path) -> bool:
    compared = filecmp.dircmp(one, other)
    return not (compared.left_only or compared.right_only or compared.diff_files) and all(
        same_trees(one / name, other / name) for name in compared.common_dirs
    )


def test_all_of_it_comes_back(lived: Application, recovered, source: Path, tmp_path: Path) -> None:
    lived.validate(config_name="文档", depth="data")
    lived.restore("文档", target=tmp_path / "out")
    assert not lived.records.kept("文档")
    before = {c.name: c.record() for c in lived.list_configs()}
    backups = [b.backup_id for b in lived.backups()]
    runs = [(r.backup_id, r.outcome, r.started_at) for r in lived.runs()]
    lived.close()
    shutil.rmtree(tmp_path / "home")
    app, report = recovered()
    assert [(c.name, c.change) for c in report.clients] == [("云", Change.ADDED)]
    assert [r.path for r in report.repositories] == ["/备份", "/家/照片"]
    assert report.complete and not report.vanished
    after = {c.name: c.record() for c in app.list_configs()}
    assert after == before
    assert [b.backup_id for b in app.backups()] == backups
    assert [(r.backup_id, r.outcome, r.started_at) for r in app.runs()] == runs
    assert [s.status.value for s in app.recovery.list_sessions()] == ["completed"]
    assert [p.name for p in app.recovery.list_disaster_recovery_plans()] == ["整个"]
    assert any(b.validated_at for b in app.backups("文档"))
    session = app.recovery.one_click_restore("文档", tmp_path / "back")
    app._services.executor.wait()
    assert app.recovery.get_recovery_progress(session).status.value == "completed"
    assert same_trees(source, tmp_path / "back" / "源")


def test_the_next_record_takes_the_place_of_those_taken_over(
    lived: Application, recovered, source: Path, tmp_path: Path
) -> None:
    lived.close()
    shutil.rmtree(tmp_path / "home")
    folder = tmp_path / "store" / "备份" / "davault"
    old = set(folder.glob("*-*"))
    app, _ = recovered()
    assert set(folder.glob("*-*")) == old
    app.backup("文档")
    (new,) = folder.glob("*-*")
    assert new not in old
    app.close()
    _, report = recovered(home="third")
    assert report.rows["runs"] == 4 and report.rows["dr_plans"] == 1


def test_a_dry_run_says_it_and_changes_nothing(lived: Application, recovered, tmp_path: Path) -> None:
    app, report = recovered(dry_run=True)
    assert report.dry_run and [c.change for r in report.repositories for c in r.configurations] == [Change.ADDED] * 2
    assert report.rows["runs"] == 3
    assert app.list_clients() == [] and app.list_configs() == [] and app.runs() == []
    assert list((tmp_path / "new" / "cache").iterdir()) == []


def test_what_is_here_stays_unless_replacing_is_asked_for(lived: Application, recovered, tmp_path: Path) -> None:
    app = open_application(tmp_path / "new")
    app.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
    mine = BackupConfig(name="文档", source_paths=["/mine"], target_client_id="云", target_path="/备份")
    app.add_config(mine)
    app.close()
    app, report = recovered()
    (documents,) = report.repositories[0].configurations
    assert documents.change is Change.KEPT and "stays" in documents.notes[-1]
    assert app.get_config("文档").source_paths == ["/mine"]
    assert [c.change for c in report.clients] == [Change.PRESENT]
    app, report = recovered(replace=True)
    assert report.repositories[0].configurations[0].change is Change.REPLACED
    assert app.get_config("文档").source_paths != ["/mine"]
    app, report = recovered()
    assert report.repositories[0].configurations[0].change is Change.PRESENT
    assert not any(report.rows.values())


def test_another_account_of_the_same_name_stays(lived: Application, recovered, tmp_path: Path) -> None:
    app = open_application(tmp_path / "new")
    app.add_client(ClientConfig(name="云", url=str(tmp_path / "elsewhere")))
    app.close()
    app, report = recovered()
    assert [c.change for c in report.clients] == [Change.KEPT]
    assert {c.change for r in report.repositories for c in r.configurations} == {Change.KEPT}
    assert app.list_configs() == []


def test_the_store_may_have_moved(lived: Application, recovered, source: Path, tmp_path: Path) -> None:
    lived.close()
    (tmp_path / "mirror").mkdir()
    shutil.move(tmp_path / "store" / "备份", tmp_path / "mirror" / "copy")
    app, _ = recovered(url=tmp_path / "mirror", path="/copy")
    config = app.get_config("文档")
    assert (config.target_path, config.exclude_patterns) == ("/copy", ["*.tmp"])
    assert app.get_client(config.target_client_id).url.endswith("/mirror")
    app.restore("文档", target=tmp_path / "back")
    assert same_trees(source, tmp_path / "back" / "源")


def test_without_records_the_backups_tell(lived: Application, recovered, source: Path, tmp_path: Path) -> None:
    lived.close()
    shutil.rmtree(tmp_path / "store" / "备份" / "davault")
    app, report = recovered(path="/备份")
    (found,) = report.repositories[0].configurations
    assert (found.name, found.source) == ("文档", "snapshots")
    assert app.get_config("文档").source_paths == [str(source)]
    app.restore("文档", target=tmp_path / "back")
    assert same_trees(source, tmp_path / "back" / "源")


def test_a_repository_that_restic_made(restic_new, recovered, source: Path, tmp_path: Path) -> None:
    place = tmp_path / "store" / "by-restic"
    restic_new.run("init", repository=place, password="密钥")
    restic_new.run("backup", str(source), repository=place, password="密钥")
    app, report = recovered()
    (found,) = report.repositories[0].configurations
    assert (found.name, found.source) == ("by-restic", "snapshots")
    app.restore("by-restic", target=tmp_path / "back")
    assert same_trees(source, tmp_path / "back" / "源")
    app.backup("by-restic")
    restic_new.check(place, password="密钥")


def rewrite(app: Application, change: Callable[[dict], None]) -> None:
    """Replace the record of 文档 by what another version might have written."""
    with app._services.backup.opened("文档") as opened:
        records = SealedRecords(opened.repository)
        *older, name = records.list()
        values = json.loads(records.read(name))
        change(values)
        for each in (*older, name):
            records.delete(each)
        records.write(RecordName(name.writer, name.number + 1), json.dumps(values).encode())


def test_records_of_other_versions_are_taken_as_far_as_they_are_known(lived: Application, recovered) -> None:
    def change(values: dict) -> None:
        del values["clients"], values["program"]
        values["of_tomorrow"] = {"x": 1}
        for config in values["configurations"]:
            del config["compression_level"]
            config["of_tomorrow"] = True
        values["areas"]["of_tomorrow"] = [{"x": 1}]
        del values["areas"]["validations"]
        for run in values["areas"]["runs"]:
            del run["problems"]
            run["of_tomorrow"] = 1
        values["areas"]["runs"].append({"kind": "backup"})

    rewrite(lived, change)
    app, report = recovered(path="/备份")
    (found,) = report.repositories[0].configurations
    assert found.source == "record" and any("of_tomorrow" in note for note in found.notes)
    config = app.get_config("文档")
    assert (config.compression_level, config.exclude_patterns) == (3, ["*.tmp"])
    assert report.rows["runs"] == 2 and report.rows["validations"] == 0


def test_a_record_that_only_a_newer_version_understands_is_told(lived: Application, recovered) -> None:
    rewrite(lived, lambda values: values.update(version=99))
    _, report = recovered(path="/备份")
    assert report.repositories[0].configurations[0].source == "snapshots"
    assert any("newer version" in note for note in report.notes)


def test_a_configuration_that_is_not_valid_here_is_taken_in_part(lived: Application, recovered) -> None:
    rewrite(lived, lambda values: values["configurations"][0].update(schedule_time="noon"))
    app, report = recovered(path="/备份")
    assert any("only its name and sources" in note for note in report.repositories[0].configurations[0].notes)
    assert app.get_config("文档").schedule_time is None


def test_snapshots_that_a_record_knows_and_the_server_has_not_have_vanished(
    lived: Application, recovered, tmp_path: Path
) -> None:
    oldest = lived.backups("文档")[-1]
    lived.close()
    (tmp_path / "store" / "备份" / "snapshots" / oldest.snapshot_id).unlink()
    app, report = recovered(path="/备份")
    assert len(report.vanished) == 1 and oldest.backup_id in report.vanished[0]
    assert [row.backup_id for row in app.vanished.listed()] == [oldest.backup_id]


def test_doubtful_listings_are_refused(lived: Application, recovered, monkeypatch) -> None:
    honest = LocalBackend.list
    for doubted in ("", "snapshots", "davault"):

        def list_(self, directory, _doubted=doubted):
            listing = honest(self, directory)
            return replace(listing, proved_complete=False, doubt="cut") if directory == _doubted else listing

        monkeypatch.setattr(LocalBackend, "list", list_)
        with pytest.raises(ListingUnproved):
            recovered(home=f"for-{doubted}")


def test_keys_that_do_not_open_and_places_with_nothing(lived: Application, recovered, tmp_path: Path) -> None:
    with pytest.raises(WrongKey, match="does not open with the key from env:OTHER"):
        recovered(keys=(GivenKey(Secret("other"), "env:OTHER", "env:OTHER"),), path="/备份")
    with pytest.raises(WrongKey, match="no key was given"):
        recovered(keys=())
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotARepository):
        recovered(url=tmp_path / "empty")
    with pytest.raises(ConfigError, match="no record of the machine 'x'"):
        recovered(host="x")


def test_one_repository_that_does_not_open_does_not_hide_the_others(
    lived: Application, configured, recovered, monkeypatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "other")
    configured("另一个", target_path="/另一个", encrypt_key="env:OTHER_KEY")
    lived.backup("另一个")
    _, report = recovered()
    assert not report.complete
    assert {r.path: bool(r.error) for r in report.repositories} == {"/备份": False, "/家/照片": False, "/另一个": True}


def test_a_key_from_the_terminal_is_kept_in_the_home(lived: Application, recovered, tmp_path: Path) -> None:
    app, report = recovered(path="/备份", keys=(GivenKey(Secret("密钥"), None, "the terminal"),))
    key_file = tmp_path / "new" / "keys" / "文档.key"
    assert key_file.read_text().strip() == "密钥" and key_file.stat().st_mode & 0o777 == 0o600
    assert any(str(key_file) in note for note in report.notes)
    assert app.restore("文档", target=tmp_path / "back").files_restored == 3


def test_an_unencrypted_repository_needs_no_key(app: Application, configured, recovered) -> None:
    configured(encrypt=False, encrypt_key=None)
    app.backup("文档")
    other, report = recovered(keys=())
    assert not report.repositories[0].encrypted and not other.get_config("文档").encrypt


def test_mirrors_come_back_and_a_mirror_is_enough(
    app: Application, configured, recovered, source: Path, tmp_path: Path
) -> None:
    app.add_client(ClientConfig(name="盘", url=str(tmp_path / "盘")))
    configured(exclude_patterns=["*.tmp"])
    app.backup("文档")
    app.mirroring.run("文档", to="盘")
    assert not app.records.kept("文档")
    app_url = app.get_client("盘").url
    app.close()
    first, report = recovered(home="first", path="/备份")
    assert {c.name for c in report.clients} == {"云", "盘"} and first.get_client("盘").url == app_url
    assert [m.client for m in first.get_config("文档").mirrors] == ["盘"]
    shutil.rmtree(tmp_path / "store")
    second, report = recovered(home="second", url=tmp_path / "盘")
    config = second.get_config("文档")
    assert config.exclude_patterns == ["*.tmp"] and config.place not in {m.place for m in config.mirrors}
    second.restore("文档", target=tmp_path / "back")
    assert same_trees(source, tmp_path / "back" / "源")


def test_after_cleanup_and_prune_everything_that_is_left_comes_back(
    app: Application, configured, recovered, source: Path, tmp_path: Path
) -> None:
    configured()
    for number in range(4):
        (source / "一.txt").write_text(str(number) * 1000)
        app.backup("文档")
    app.manager.cleanup_old_backups("文档", keep_count=2)
    app.retention.prune("文档")
    left = [b.backup_id for b in app.backups("文档")]
    app.close()
    shutil.rmtree(tmp_path / "home")
    other, report = recovered(path="/备份")
    assert [b.backup_id for b in other.backups("文档")] == left and len(left) == 2
    assert report.vanished == () and report.rows["gone_snapshots"] == 2
    other.restore("文档", target=tmp_path / "back")
    assert same_trees(source, tmp_path / "back" / "源")
