"""What is told at a glance is what the application tells, or nothing at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backup_core.catalogue.rows import RunRow
from backup_core.services.application import Application
from backup_core.services.at_a_glance import backups_at_a_glance, statistics_at_a_glance, usage_at_a_glance


def test_it_is_the_applications_list(app: Application, configured, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert backups_at_a_glance(home) == []
    configured("一")
    assert backups_at_a_glance(home) is None, "its server was never looked at"
    app.backup("一")
    configured("二")
    assert backups_at_a_glance(home) is None
    assert backups_at_a_glance(home, "一") == app.backups("一")
    app.backup("二")
    app.backup("一")
    app.validate(config_name="二")
    configured("elsewhere", target_path="/elsewhere")
    app.backup("elsewhere")
    for name in (None, "一", "二", "elsewhere"):
        assert backups_at_a_glance(home, name) == app.backups(name) != []
    assert backups_at_a_glance(home, "三") is None, "the application says what is wrong"
    configured("二", target_path="/moved")
    assert backups_at_a_glance(home, "二") is None, "its new place was never looked at"


def test_backups_of_others_in_its_repository(app: Application, configured, tmp_path: Path) -> None:
    configured("一")
    app.backup("一")
    row = app.manager.backup_service.catalogue.manifests.listed()[0]
    foreign = replace(row, snapshot_id="f" * 64, backup_id="ffffffff", configuration="")
    app.manager.backup_service.catalogue.manifests.add(foreign)
    seen = backups_at_a_glance(tmp_path / "home", "一")
    assert seen == app.backups("一")
    assert seen is not None and {backup.config_name for backup in seen} == {"一", ""}


def test_a_shared_catalogue_is_asked_itself(app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVAULT_CATALOGUE", "postgresql://somewhere/davault")
    assert backups_at_a_glance(tmp_path / "home") is None


def test_figures_are_the_applications(app: Application, configured, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert statistics_at_a_glance(home) == app.manager.get_statistics()
    configured("一")
    assert statistics_at_a_glance(home) is None, "its server was never looked at"
    app.backup("一")
    configured("二")
    app.backup("二", kind="full")
    app.backup("一")
    app.reporting.measure_space()
    catalogue = app.manager.backup_service.catalogue
    row = catalogue.manifests.listed()[0]
    catalogue.manifests.add(replace(row, snapshot_id="f" * 64, backup_id="ffffffff", configuration="", stored_size=7))
    failed = RunRow(configuration="一", kind="backup", outcome="failed", started_at=row.created_at)
    catalogue.history.begin_run(failed)
    for name in (None, "一", "二"):
        statistics = statistics_at_a_glance(home, name)
        assert statistics is not None and statistics == app.manager.get_statistics(name)
        usage = app.manager.storage_manager.get_storage_usage(name)
        assert usage_at_a_glance(home, name) == (usage, app.reporting.last_spaces())
    assert app.reporting.last_spaces(), "the server said how much room there is"
    assert app.manager.get_statistics("一")["backup_stats"]["failed_runs"] == 1, "so it is told apart"
    assert statistics_at_a_glance(home, "三") is None and usage_at_a_glance(home, "三") is None
