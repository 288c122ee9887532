"""Keys of a configuration's repository: shown, added, taken away, replaced; restic opens with each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig
from backup_core.config.strength import weakness
from backup_core.errors import Cancelled, ConfigError, RepositoryError, WrongKey
from backup_core.progress import CancelToken
from backup_core.repository.key_files import KeyFiles
from backup_core.services.application import Application, open_application
from backup_core.types import Secret

Configured = Callable[..., BackupConfig]
STRONG = "nine purple otters sail quietly"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "store" / "备份"


@pytest.fixture(autouse=True)
def _new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW_KEY", STRONG)
    monkeypatch.setenv("WEAK_KEY", "12345678")


def test_restic_opens_with_an_added_key_until_it_is_taken_away(
    app: Application, configured: Configured, repository: Path, restic_old: Any
) -> None:
    configured()
    done = app.backup("文档")
    keys = app.upkeep.keys
    added = keys.add("文档", "env:NEW_KEY")
    assert added.notes == ()
    assert [info.current for info in keys.list("文档")] == [True, False]
    snapshots = restic_old.json("snapshots", repository=repository, password=STRONG)
    assert [one["id"] for one in snapshots] == [done.snapshot_id]
    keys.remove("文档", added.key_id[:10])
    assert restic_old.run("snapshots", repository=repository, password=STRONG, check=False).returncode != 0
    restic_old.check(repository, "密钥")
    with pytest.raises(RepositoryError, match="is the one in use"):
        keys.remove("文档", keys.list("文档")[0].id)


def test_replacing_a_leaked_key(
    app: Application, configured: Configured, source: Path, repository: Path, restic_old: Any, tmp_path: Path
) -> None:
    configured()
    configured("other")
    configured("elsewhere", target_path="/elsewhere")
    configured("its own key", encrypt_key="env:NEW_KEY")
    app.backup("文档")
    change = app.upkeep.keys.change("文档")
    assert change.configurations == ("文档", "other")
    file = Path(change.reference.removeprefix("file:"))
    assert file.parent == app.home.keys and file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().strip()) >= 40
    # All go on with the new key; the old one opens nothing, not even here, where it was remembered.
    assert app.backup("文档").files_unchanged == 2
    app.backup("other")
    app.backup("elsewhere")
    configured("old", encrypt_key="env:TEST_KEY")
    with pytest.raises(WrongKey):
        app.repository_info("old")
    assert restic_old.run("snapshots", repository=repository, password="密钥", check=False).returncode != 0
    restic_old.check(repository, file.read_text().strip())
    # Another process finds it, too.
    with open_application(app.home) as again:
        assert len(again.backups("文档", refresh=True)) == 2
    with pytest.raises(ConfigError, match="the new key is the old one"):
        app.upkeep.keys.change("文档", change.reference)


def test_mirrors_keep_the_key_they_have(app: Application, configured: Configured) -> None:
    configured()
    app.backup("文档")
    app.mirroring.run("文档", to="云", path="/copy")
    app.upkeep.keys.change("文档", "env:NEW_KEY")
    assert [mirror.key for mirror in app.get_config("文档").mirrors] == ["env:TEST_KEY"]
    app.backup("文档")
    (copied,) = app.mirroring.run("文档")
    assert len(copied.copied) == 1
    app.upkeep.keys.rotate("文档", path="/neu")
    assert [mirror.shown for mirror in app.get_config("文档").mirrors] == ["云:/copy"]
    app.backup("文档")
    (copied,) = app.mirroring.run("文档")
    assert len(copied.copied) == 1


def test_an_interrupted_change_is_done_again(
    app: Application, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured()
    app.backup("文档")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(KeyFiles, "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        app.upkeep.keys.change("文档", "env:NEW_KEY")
    assert app.backup("文档").files_unchanged == 2  # with the new key
    old = next(info for info in app.upkeep.keys.list("文档") if not info.current)
    app.upkeep.keys.remove("文档", old.id)
    configured()
    with pytest.raises(WrongKey):
        app.repository_info("文档")


def test_another_master_key(
    app: Application, configured: Configured, source: Path, tmp_path: Path, restic_old: Any
) -> None:
    configured()
    configured("other")
    first = app.backup("文档")
    (source / "一.txt").write_text("changed")
    app.backup("文档")
    app.backup("other")
    with app._services.backup.opened("文档") as opened:
        old = opened.repository.master_key
    # A first attempt is interrupted; the second one goes on.
    stop = CancelToken()
    stop.cancel()
    with pytest.raises(Cancelled):
        app.upkeep.keys.rotate("文档", path="/neu", reference="env:NEW_KEY", cancel=stop)
    assert app.get_config("文档").target_path == "/备份"
    done = app.upkeep.keys.rotate("文档", path="/neu", reference="env:NEW_KEY")
    assert (done.configurations, done.copied + done.already_there) == (("other", "文档"), 3)
    for name in ("文档", "other"):
        config = app.get_config(name)
        assert (config.target_path, config.encrypt_key, config.mirrors) == ("/neu", "env:NEW_KEY", [])
    with app._services.backup.opened("文档") as opened:
        assert opened.repository.master_key != old
    restic_old.check(tmp_path / "store" / "neu", STRONG)
    # All backups are there under their names, and the next one goes on from them.
    assert {backup.backup_id for backup in app.backups("文档")} >= {first.backup_id}
    assert len(app.backups("文档")) == 2
    again = app.backup("文档")
    assert (again.backup_type, again.files_unchanged) == ("incremental", 2)
    app.restore(backup_id=first.backup_id, target=tmp_path / "back")
    assert (tmp_path / "back" / "源" / "一.txt").read_text() == "一" * 1000
    restic_old.check(tmp_path / "store" / "备份", "密钥")  # the old one is as it was
    with pytest.raises(ConfigError, match="another folder"):
        app.upkeep.keys.rotate("文档", path="/neu")


def test_weak_keys_are_warned_about(app: Application, configured: Configured) -> None:
    configured()
    app.backup("文档")
    assert "this key is weak" in app.upkeep.keys.add("文档", "env:WEAK_KEY").notes[0]
    with pytest.raises(ConfigError, match="NOT_SET"):
        app.upkeep.keys.add("文档", "env:NOT_SET")


def test_what_is_not_encrypted_has_no_keys_to_look_after(app: Application, configured: Configured) -> None:
    configured(encrypt=False, encrypt_key=None)
    app.backup("文档")
    with pytest.raises(ConfigError, match="not encrypted"):
        app.upkeep.keys.list("文档")


@pytest.mark.parametrize("weak", ["", "password", "Password123!", "abcdefghijklmnop", "1111111111111111", "x7$Qp"])
def test_weak_passwords(weak: str) -> None:
    assert weakness(Secret(weak))


@pytest.mark.parametrize("strong", [STRONG, "T4!zQm8#vLp2@", "rQ3uV9xK2mN7pL4tW8yB6cD1", "正确的马电池订书钉"])
def test_strong_passwords(strong: str) -> None:
    assert weakness(Secret(strong)) == ""
