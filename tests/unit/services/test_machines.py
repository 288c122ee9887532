"""Configurations that belong to one machine, on a catalogue that several share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_core.config.catalogue_place import CATALOGUE_VARIABLE, shared_catalogue
from backup_core.config.hosts import HOST_VARIABLE, this_host
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import CatalogueError, ConfigError
from backup_core.repository.options import default_hostname
from backup_core.repository.sealed_records import RecordName
from backup_core.services.application import Application, open_application
from backup_core.services.home_recovery.wishes import GivenKey, RecoveryWish
from backup_core.services.run_records.keeper import newest_records
from backup_core.types import Secret

Configured = Callable[..., BackupConfig]


def test_a_label_is_a_name_in_lower_case() -> None:
    assert this_host({HOST_VARIABLE: "Web-1"}) == "web-1"
    assert this_host({}) == default_hostname().lower()
    with pytest.raises(ConfigError, match=HOST_VARIABLE):
        this_host({HOST_VARIABLE: "a/b"})


def test_another_machines_files_are_not_backed_up_from_here(
    app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(host="Web-1")
    with pytest.raises(ConfigError, match=r"belongs to the machine 'web-1'.*DAVAULT_HOST=web-1"):
        app.backup("文档")
    assert app.runs() == [], "nothing was begun"
    monkeypatch.setenv(HOST_VARIABLE, "WEB-1")
    assert app.backup("文档").files == 2


def test_all_configurations_are_those_of_this_machine(
    app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("ours", host="web-1")
    configured("anybody's")
    configured("theirs", host="db-1")
    monkeypatch.setenv(HOST_VARIABLE, "web-1")
    assert [config.name for config in app.list_configs(of_this_host=True)] == ["anybody's", "ours"]
    assert len(app.list_configs()) == 3
    assert [one.name for one in app.upkeep.all_backups.run()] == ["anybody's", "ours"]


def test_health_asks_no_server_for_what_another_machine_has_the_key_of(
    app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(host="web-1", encrypt_key="file:/only/there")
    monkeypatch.setenv(HOST_VARIABLE, "control")
    assert {check.check for check in app.health.check().checks} == {"age"}
    (mine,) = [finding for finding in app.doctor() if finding.subject == "configuration 文档"]
    assert "web-1" in mine.message
    monkeypatch.setenv(HOST_VARIABLE, "web-1")
    assert "key" in {check.check for check in app.health.check().checks}


def test_the_catalogue_may_be_named_by_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_catalogue({}) is None
    url = f"sqlite:///{tmp_path}/shared.db"
    (tmp_path / "url").write_text(url + "\n")
    assert shared_catalogue({CATALOGUE_VARIABLE: url}) == url
    monkeypatch.setenv(CATALOGUE_VARIABLE, f"file:{tmp_path}/url")
    with open_application(tmp_path / "one") as one, open_application(tmp_path / "two") as two:
        one.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        assert [client.name for client in two.list_clients()] == ["云"]
    assert not (tmp_path / "one" / "catalogue.db").exists()
    monkeypatch.setenv(CATALOGUE_VARIABLE, "nonsense://x")
    with pytest.raises(CatalogueError):
        open_application(tmp_path / "one")


def test_machines_on_one_catalogue_keep_their_own_records_and_are_recovered_one_by_one(
    postgresql: str, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("web-1", "db-1"):
        monkeypatch.setenv(HOST_VARIABLE, host)
        monkeypatch.setattr("backup_core.services.run_records.keeper.default_hostname", lambda host=host: f"{host}.lan")
        with open_application(tmp_path / host, catalogue_url=postgresql) as app:
            app.add_client(ClientConfig(name="云", url=str(tmp_path / "store")), replace=True)
            app.add_config(
                BackupConfig(
                    name=f"of {host}", host=host, source_paths=[str(source)], target_client_id="云",
                    target_path="/备份", encrypt_key="env:TEST_KEY",
                )
            )  # fmt: skip
            app.backup(f"of {host}")
            with app._services.backup.opened(f"of {host}") as opened:
                records = newest_records(opened.repository)
    assert sorted(document.hostname for document in records.values()) == ["db-1.lan", "web-1.lan"]
    assert len({name.writer for name in records}) == 2
    assert all(isinstance(name, RecordName) for name in records)

    key = GivenKey(Secret("密钥"), "env:TEST_KEY", "env:TEST_KEY")
    account = ClientConfig(name="recovered", url=str(tmp_path / "store"))
    with open_application(tmp_path / "new") as new:
        new.home_recovery.recover(RecoveryWish(account=account, path="/", keys=(key,), host="db-1"))
        assert [(config.name, config.host) for config in new.list_configs()] == [("of db-1", "db-1")]
