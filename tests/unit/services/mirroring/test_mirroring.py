"""Mirrors of configurations: made, remembered, recorded, forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError, NotARepository, WrongKey
from backup_core.results import Outcome
from backup_core.services.application import Application
from backup_core.services.mirroring.places import opened_mirror


@pytest.fixture
def config(app: Application, configured: Callable[..., BackupConfig], tmp_path: Path) -> BackupConfig:
    """A configuration with one backup, and another client."""
    app.add_client(ClientConfig(name="盘", url=str(tmp_path / "disk")))
    made = configured()
    app.backup(made.name)
    return made


def mirrored_ids(app: Application, config: BackupConfig) -> list[str]:
    """What the first mirror holds, by the ids of the first repository."""
    repositories = app._services.backup.repositories
    known = app.get_config(config.name)
    with opened_mirror(repositories, known, known.mirrors[0]) as opened:
        return [str(s.original) for s in opened.repository.snapshots()]


def test_a_new_mirror_is_made_remembered_and_recorded(app: Application, config: BackupConfig, source: Path) -> None:
    (result,) = app.mirroring.run(config.name, to="盘")
    assert (result.outcome, result.created, len(result.copied)) == (Outcome.COMPLETED, True, 1)
    assert [m.shown for m in app.get_config(config.name).mirrors] == ["盘:/备份"]
    (source / "三").write_text("三" * 900)
    second = app.backup(config.name)
    (again,) = app.mirroring.run(config.name)
    assert (again.created, again.copied, again.already_there) == (False, (second.backup_id,), 1)
    assert mirrored_ids(app, config) == [b.snapshot_id for b in reversed(app.backups(config.name))]
    runs = [run for run in app.runs(config.name) if run.kind == "mirror"]
    assert [run.outcome for run in runs] == ["completed", "completed"]
    assert runs[0].figures["mirror"] == "盘:/备份"
    assert runs[0].figures["snapshots_copied"] == 1
    assert runs[0].requests["PUT"] > 0


def test_both_repositories_cut_files_alike_and_have_keys_of_their_own(app: Application, config: BackupConfig) -> None:
    app.mirroring.run(config.name, to="盘")
    repositories = app._services.backup.repositories
    known = app.get_config(config.name)
    with repositories.opened(known) as one, opened_mirror(repositories, known, known.mirrors[0]) as two:
        assert one.repository.config.chunker_polynomial == two.repository.config.chunker_polynomial
        assert one.repository.master_key != two.repository.master_key
        assert one.repository.id != two.repository.id
        assert one.key.secret == two.key.secret


def test_a_mirror_may_have_a_password_of_its_own(
    app: Application, config: BackupConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRROR_KEY", "另一把")
    app.mirroring.run(config.name, to="盘", key="env:MIRROR_KEY")
    assert len(mirrored_ids(app, config)) == 1
    monkeypatch.setenv("MIRROR_KEY", "wrong")
    with pytest.raises(WrongKey):
        app.mirroring.run(config.name)


def test_a_dry_run_makes_and_remembers_nothing(app: Application, config: BackupConfig, tmp_path: Path) -> None:
    (foreseen,) = app.mirroring.run(config.name, to="盘", dry_run=True)
    assert (foreseen.dry_run, foreseen.created, len(foreseen.copied)) == (True, True, 1)
    assert not (tmp_path / "disk").exists()
    assert app.get_config(config.name).mirrors == []
    assert not [run for run in app.runs(config.name) if run.kind == "mirror"]


def test_only_the_configurations_own_backups_are_copied_unless_asked(
    app: Application, config: BackupConfig, configured: Callable[..., BackupConfig]
) -> None:
    other = configured("另一")
    app.backup(other.name)
    (result,) = app.mirroring.run(config.name, to="盘")
    assert len(result.copied) == 1
    (result,) = app.mirroring.run(config.name, everything=True)
    assert [name.split("_")[0] for name in result.copied] == [other.name]


def test_single_backups_can_be_chosen(app: Application, config: BackupConfig, source: Path) -> None:
    first = app.backups(config.name)[0]
    (source / "三").write_text("三")
    app.backup(config.name)
    (result,) = app.mirroring.run(config.name, to="盘", backup_ids=[first.backup_id])
    assert result.copied == (first.backup_id,)


def test_one_mirror_that_fails_does_not_keep_the_others_from_being_copied_to(
    app: Application, config: BackupConfig, tmp_path: Path
) -> None:
    app.mirroring.run(config.name, to="盘")
    (tmp_path / "in the way").write_text("a file")
    app.add_client(ClientConfig(name="坏", url=str(tmp_path / "in the way")))
    known = app.get_config(config.name)
    known.mirrors = [{"client": "坏", "path": "/x"}, *known.mirrors]  # type: ignore[list-item]
    app.add_config(known, replace=True)
    bad, good = app.mirroring.run(config.name)
    assert (bad.outcome, good.outcome) == (Outcome.FAILED, Outcome.COMPLETED)
    assert bad.error
    runs = [run for run in app.runs(config.name) if run.kind == "mirror"]
    assert sorted(run.outcome for run in runs) == ["completed", "completed", "failed"]


def test_forgetting_a_mirror_deletes_nothing(app: Application, config: BackupConfig, tmp_path: Path) -> None:
    app.mirroring.run(config.name, to="盘")
    before = sorted(tmp_path.joinpath("disk").rglob("*"))
    app.mirroring.forget(config.name, "盘")
    assert app.get_config(config.name).mirrors == []
    assert sorted(tmp_path.joinpath("disk").rglob("*")) == before
    with pytest.raises(ConfigError, match="has no mirror"):
        app.mirroring.forget(config.name, "盘")


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({}, "has no mirror yet"),
        ({"path": "/x"}, "say at which client"),
        ({"to": "云"}, "the place of the backups themselves"),
        ({"to": "nobody"}, "there is no client"),
        ({"to": "盘", "key": "the key itself"}, "reference"),
    ],
)
def test_what_makes_no_sense_is_refused(
    app: Application, config: BackupConfig, wishes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        app.mirroring.run(config.name, **wishes)


def test_there_must_be_something_to_copy(app: Application, configured: Callable[..., BackupConfig]) -> None:
    app.add_client(ClientConfig(name="盘", url="memory://nothing-to-copy"))
    with pytest.raises(NotARepository):
        app.mirroring.run(configured().name, to="盘")


def test_mirrors_travel_with_their_configuration(app: Application, config: BackupConfig, tmp_path: Path) -> None:
    app.mirroring.run(config.name, to="盘", path="/第二", key="env:TEST_KEY")
    text = app.export_configs()
    file = tmp_path / "all.toml"
    file.write_text(text)
    app.remove_config(config.name)
    app.import_configs(file, replace=True)
    (mirror,) = app.get_config(config.name).mirrors
    assert (mirror.client, mirror.path, mirror.key) == ("盘", "/第二", "env:TEST_KEY")
    app.mirroring.run(config.name)
