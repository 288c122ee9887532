"""Opening a repository again, within one application, derives no key again."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from backup_core.errors import WrongKey
from backup_core.format import key_file
from backup_core.services.application import Application


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
