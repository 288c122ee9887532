"""Clients and configurations through the application, and what two processes see of each other."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError
from backup_core.services.application import Application, open_application
from backup_core.services.findings import FindingLevel
from backup_core.services.webdav_service import WebDAVCredentials, WebDAVService
from backup_core.testing.webdav_server import Answer, WebDAVServer
from backup_core.types import Secret


def test_a_remembered_password_lies_in_a_private_file(app: Application) -> None:
    app.add_client(ClientConfig(name="坚果", url="https://x.invalid/"), password=Secret("hunter2"))
    stored = app.get_client("坚果")
    file = app.home.password_file("坚果")
    assert stored.password == f"file:{file}"
    assert file.read_text() == "hunter2\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    app.remove_client("坚果")
    assert not file.exists()


def test_taken_and_unknown_names(app: Application, configured) -> None:
    with pytest.raises(ConfigError, match="already"):
        app.add_client(ClientConfig(name="云", url="/elsewhere"))
    app.add_client(ClientConfig(name="云", url="/elsewhere"), replace=True)
    assert app.get_client("云").url == "file:///elsewhere"
    config = configured()
    with pytest.raises(ConfigError, match="already"):
        app.add_config(config)
    with pytest.raises(ConfigError, match="文档"):
        app.remove_client("云")
    for act in (app.get_client, app.remove_client, app.probe_client):
        with pytest.raises(ConfigError, match=r"没有.*there are: 云"):
            act("没有")
    for act in (app.get_config, app.backup, app.init_repository, app.backups):
        with pytest.raises(ConfigError, match=r"没有.*there are: 文档"):
            act("没有")
    with pytest.raises(ConfigError, match="没有"):
        app.remove_config("没有")


def test_broken_patterns_are_found_when_a_configuration_is_added(configured) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(include_patterns=["a["], exclude_patterns=["[b"], target_client_id="没有")
    assert [p.split(":")[0] for p in caught.value.problems] == [
        "include_patterns",
        "exclude_patterns",
        "target_client_id",
    ]


def test_names_are_found_however_they_were_typed(app: Application, configured) -> None:
    configured("día")
    assert app.get_config("di\u0301a").name == "día"


def test_export_and_import_move_everything_but_secrets(app: Application, configured, tmp_path: Path) -> None:
    configured()
    configured("二", encrypt_key="literal secret")
    text = app.export_configs()
    assert "literal secret" not in text
    file = tmp_path / "all.toml"
    file.write_text(text)
    with open_application(tmp_path / "other") as other:
        assert other.import_configs(file) == ["二", "文档"]
        assert other.list_clients() == app.list_clients()
        assert other.get_config("文档") == app.get_config("文档")
        with pytest.raises(ConfigError) as caught:
            other.import_configs(file)
        assert len(caught.value.problems) == 3
        assert other.import_configs(file, replace=True) == ["二", "文档"]
    assert '[configs."二"]' not in app.export_configs(["文档"])
    assert app.list_configs(), "two homes never mix"


def test_a_literal_key_is_known_to_its_own_process_only(app: Application, configured, tmp_path: Path) -> None:
    configured(encrypt_key="literal")
    assert app.get_config("文档").encrypt_key == Secret("literal")
    with open_application(tmp_path / "home") as other:
        assert other.get_config("文档").encrypt_key == "memory:"
        with pytest.raises(ConfigError, match="the key of configuration '文档' cannot be had from memory"):
            other.backup("文档")
        other.add_config(other.get_config("文档").model_copy(update={"encrypt_key": "env:TEST_KEY"}), replace=True)
    assert app.get_config("文档").encrypt_key == "env:TEST_KEY", "what another process changed counts"


def test_a_script_with_a_literal_password_leaves_the_reference_to_others(app: Application, tmp_path: Path) -> None:
    app.add_client(ClientConfig(name="c", url="https://x.invalid/", username="me", password="env:PW"))
    script = WebDAVService()
    script.add_client("c", WebDAVCredentials("me", "literal", "https://x.invalid/"))
    script.attach(app.manager.backup_service.catalogue, app.home)
    assert app.get_client("c").password == "env:PW"
    assert script.configuration("c").password == Secret("literal")
    script.add_client("c", WebDAVCredentials("you", "literal", "https://x.invalid/"))
    assert app.get_client("c").password == "memory:", "another account is another password"


def test_credentials_do_not_show_their_password() -> None:
    credentials = WebDAVCredentials(username="me", password="hunter2", url="https://x.invalid/")
    assert "hunter2" not in repr(credentials) + str(credentials) + repr(vars(credentials))


def test_a_service_alone_keeps_its_clients(dav: WebDAVServer) -> None:
    service = WebDAVService()
    assert service.list_clients() == [] and service.get_client("x") is None
    assert service.add_client("云", WebDAVCredentials(dav.username, dav.password, dav.url)) is True
    assert service.list_clients() == ["云"]
    assert service.test_connection("云") is True
    found = service.get_client("云")
    assert found is not None and found.url == dav.url
    assert service.remove_client("云") is True and service.remove_client("云") is False


def test_probes_say_what_is_wrong(dav: WebDAVServer, app: Application) -> None:
    app.add_client(ClientConfig(name="good", url=dav.url, username=dav.username), password=dav.password)
    app.add_client(ClientConfig(name="wrong", url=dav.url, username=dav.username), password=Secret("no"))
    app.add_client(ClientConfig(name="new", url=dav.url + "没有/", username=dav.username), password=dav.password)
    assert app.probe_client("good").reachable
    wrong = app.probe_client("wrong")
    assert not wrong.reachable and wrong.error
    assert "made when needed" in app.probe_client("new").checks["folder"]
    dav.fault = lambda request: Answer("405 Method Not Allowed")
    assert not app.probe_client("good").reachable


def test_doctor(app: Application, configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured()
    configured("无源", source_paths=[str(tmp_path / "没有")])
    found = {finding.subject: finding for finding in app.doctor()}
    assert found["client 云"].level is FindingLevel.OK
    assert (
        found["configuration 文档"].level is FindingLevel.WARNING
        and "first backup" in found["configuration 文档"].advice
    )
    assert any("没有" in f.message for f in app.doctor() if f.level is FindingLevel.ERROR)
    app.backup("文档")
    assert [f.level for f in app.doctor() if f.subject == "configuration 文档"] == [FindingLevel.OK]
    monkeypatch.delenv("TEST_KEY")
    broken = next(f for f in app.doctor() if f.subject == "configuration 文档")
    assert broken.level is FindingLevel.ERROR and "env:TEST_KEY" in broken.message
    app.home.root.chmod(0o755)
    assert next(f for f in app.doctor() if f.subject == "home").advice.startswith("chmod 700")


def test_a_configuration_record_survives_the_catalogue(app: Application, configured) -> None:
    config: BackupConfig = configured(max_file_size="1G", schedule_time="2:00", include_patterns=["*.txt"])
    assert app.get_config("文档") == config
