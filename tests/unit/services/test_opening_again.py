"""Opening a repository again, within one application, derives no key again."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from backup_core.config.models import ClientConfig
from backup_core.errors import WrongKey
from backup_core.format import key_file
from backup_core.repository.repository import Repository
from backup_core.services.application import Application, open_application


def test_a_restore_derives_its_key_once(app: Application, configured, tmp_path: Path) -> None:
    configured("文档")
    app.backup("文档")
    app.manager.backup_service.repositories._unlocked.clear()
    with mock.patch.object(key_file, "derive", wraps=key_file.derive) as derive:
        app.restore("文档", target=tmp_path / "out")
        app.validate(config_name="文档")
    assert derive.call_count == 1
    assert (tmp_path / "out" / "源" / "一.txt").read_text() == "一" * 1000


def test_another_password_opens_nothing(app: Application, configured, monkeypatch: pytest.MonkeyPatch) -> None:
    configured("文档")
    app.backup("文档")
    app.repository_info("文档")
    monkeypatch.setenv("TEST_KEY", "another")
    with pytest.raises(WrongKey):
        app.repository_info("文档")


def test_a_restore_opens_the_repository_once_where_nothing_has_changed(
    app: Application, configured, tmp_path: Path
) -> None:
    configured("文档")
    app.backup("文档")
    with mock.patch.object(Repository, "open", wraps=Repository.open) as opened:
        app.restore("文档", target=tmp_path / "out")
    assert opened.call_count == 1
    assert (tmp_path / "out" / "源" / "一.txt").read_text() == "一" * 1000


def test_a_restore_sees_what_another_installation_has_stored_and_removed(
    app: Application, configured, tmp_path: Path, source: Path
) -> None:
    config = configured("文档")
    with open_application(tmp_path / "another home") as other:
        other.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        other.add_config(config)
        app.backup("文档")
        (source / "一.txt").write_text("new")
        theirs = other.backup("文档")
        app.restore("文档", target=tmp_path / "out")
        assert (tmp_path / "out" / "源" / "一.txt").read_text() == "new"
        other.retention.forget([theirs.backup_id])
        app.restore("文档", target=tmp_path / "before")
    assert (tmp_path / "before" / "源" / "一.txt").read_text() == "一" * 1000
