"""What this program keeps in a repository about itself: little, sealed, replaced, and never a reason to fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backup_core.config.models import ClientConfig
from backup_core.errors import AccessDenied, ConfigError, ConnectionLost
from backup_core.repository.sealed_records import RecordName
from backup_core.results import Outcome
from backup_core.services.alerts.alerts import Alerts
from backup_core.services.alerts.records import AlertKind
from backup_core.services.application import Application, open_application
from backup_core.services.run_records import keeper
from backup_core.services.run_records.keeper import newest_records
from backup_core.storage.local import LocalBackend
from backup_core.testing.clocks import ManualClock


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Application]:
    with open_application(tmp_path / "home", clock=clock) as application:
        application.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        yield application


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "store" / "备份" / "davault").glob("*-*"))


def documents(app: Application):
    backup = app._services.backup
    with backup.opened("文档") as opened:
        return list(newest_records(opened.repository).values())


def test_a_run_that_changed_something_replaces_the_record(
    app: Application, configured, source: Path, tmp_path: Path, clock: ManualClock, monkeypatch
) -> None:
    monkeypatch.setattr(keeper, "OLD_AT_MOST", 1)
    configured()
    first = app.backup("文档")
    before = names(tmp_path)
    assert len(before) == 1
    clock.advance(60)
    (source / "新.txt").write_text("新")
    second = app.backup("文档")
    after = names(tmp_path)
    assert len(after) == 1 and after != before
    (document,) = documents(app)
    assert [c["name"] for c in document.configurations] == ["文档"]
    assert {s.snapshot_id for s in document.snapshots} == {first.snapshot_id, second.snapshot_id}
    assert [run["outcome"] for run in document.areas["runs"]] == ["completed", "completed"]
    assert (source.parent / "store" / "备份" / "davault" / after[0]).stat().st_size < 4096


def test_replaced_records_are_removed_in_one_go(
    app: Application, configured, source: Path, tmp_path: Path, clock: ManualClock
) -> None:
    configured()
    counts = []
    for number in range(keeper.OLD_AT_MOST + 2):
        clock.advance(60)
        (source / "changing").write_text(str(number))
        app.backup("文档")
        counts.append(len(names(tmp_path)))
    assert counts == [*range(1, keeper.OLD_AT_MOST + 1), 1, 2]
    assert len(documents(app)) == 1


def test_a_run_without_changes_costs_no_request(
    app: Application, configured, tmp_path: Path, clock: ManualClock, monkeypatch
) -> None:
    configured()
    app.backup("文档")
    before = names(tmp_path)
    touched: list[str] = []
    for verb in ("put", "delete", "list", "get", "stat"):
        honest = getattr(LocalBackend, verb)

        def spy(self, name, *rest, _honest=honest, **options):
            touched.append(name)
            return _honest(self, name, *rest, **options)

        monkeypatch.setattr(LocalBackend, verb, spy)
    clock.advance(60)
    app.backup("文档")
    assert not [name for name in touched if RecordName.parse(name)]
    assert names(tmp_path) == before
    clock.advance(8 * 86400)
    app.backup("文档")
    assert names(tmp_path) != before
    (document,) = documents(app)
    assert len(document.areas["runs"]) == 3


def test_no_secret_is_in_a_record(app: Application, configured, tmp_path: Path) -> None:
    configured(encrypt_key="a literal key")
    app.add_client(ClientConfig(name="云", url=str(tmp_path / "store"), password="a literal password"), replace=True)
    app.backup("文档")
    (document,) = documents(app)
    assert b"literal" not in document.encode()
    assert document.clients[0]["password"] == "memory:"


@pytest.mark.parametrize("error", [AccessDenied("no"), ConnectionLost("gone")])
def test_a_record_that_cannot_be_written_is_a_problem_and_no_failure(
    app: Application, configured, monkeypatch, error
) -> None:
    configured()
    honest = LocalBackend.put

    def put(self, name, data):
        if RecordName.parse(name):
            raise error
        honest(self, name, data)

    monkeypatch.setattr(LocalBackend, "put", put)
    summary = app.backup("文档")
    assert summary.outcome is Outcome.COMPLETED
    assert [p.kind for p in summary.problems] == ["run-record"]
    assert len(app.backups("文档")) == 1
    monkeypatch.setattr(LocalBackend, "put", honest)
    assert app.backup("文档").problems == ()
    assert len(documents(app)) == 1


def test_a_removal_that_failed_is_made_up_for(
    app: Application, configured, source: Path, tmp_path: Path, clock: ManualClock, monkeypatch
) -> None:
    monkeypatch.setattr(keeper, "OLD_AT_MOST", 1)
    configured()
    app.backup("文档")
    honest = LocalBackend.delete

    def refuse(self, name):
        if RecordName.parse(name):
            raise ConnectionLost("gone")
        honest(self, name)

    monkeypatch.setattr(LocalBackend, "delete", refuse)
    for number in range(2):
        clock.advance(60)
        (source / f"{number}.txt").write_text(str(number))
        assert [p.kind for p in app.backup("文档").problems] == ["run-record"]
    assert len(names(tmp_path)) == 3
    monkeypatch.setattr(LocalBackend, "delete", honest)
    clock.advance(60)
    (source / "last.txt").write_text("last")
    app.backup("文档")
    assert len(names(tmp_path)) == 1


def test_a_snapshot_that_somebody_deleted_is_told_until_a_person_accepts(
    app: Application, configured, tmp_path: Path, clock: ManualClock
) -> None:
    configured()
    lost = app.backup("文档")
    clock.advance(60)
    app.backup("文档")
    (tmp_path / "store" / "备份" / "snapshots" / lost.snapshot_id).unlink()
    results = {r.backup_id: r for r in app.validate(config_name="文档")}
    assert not results[lost.backup_id].is_valid
    assert "nobody recorded forgetting it" in results[lost.backup_id].errors[0]
    assert any("nobody recorded" in finding.message for finding in app.doctor())
    assert [check.check for check in app.health.check().errors] == ["vanished"]
    assert AlertKind.VANISHED in {alert.kind for alert in Alerts(app.manager.backup_service).evaluate()}
    assert all(not r.is_valid or r.backup_id != lost.backup_id for r in app.validate(config_name="文档"))
    with pytest.raises(ConfigError, match="has vanished"):
        app.vanished.accept(["文档_20200101_000000"])
    app.vanished.accept([lost.snapshot_id[:8]])
    assert app.vanished.listed() == []
    assert all(r.is_valid for r in app.validate(config_name="文档"))


def test_forgetting_on_purpose_is_no_alarm(
    app: Application, configured, source: Path, clock: ManualClock, monkeypatch
) -> None:
    configured(max_versions=1)
    for number in range(3):
        clock.advance(3600)
        (source / "一.txt").write_text(str(number))
        app.backup("文档")
    assert len(app.backups("文档", refresh=True)) == 1
    assert app.vanished.listed() == []
    gone = app._services.backup.catalogue.evidence.gone()
    assert [row.fate for row in gone] == ["forgotten"] * 2 and all(row.reason for row in gone)


def test_what_another_installation_forgot_is_no_alarm(
    app: Application, configured, source: Path, tmp_path: Path, clock: ManualClock
) -> None:
    configured()
    first = app.backup("文档")
    with open_application(tmp_path / "other", clock=clock) as other:
        other.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        other.add_config(app.get_config("文档").model_copy(update={"max_versions": 1}))
        clock.advance(timedelta(hours=1).total_seconds())
        (source / "一.txt").write_text("anew")
        other.backup("文档")
    assert first.backup_id not in {b.backup_id for b in app.backups("文档", refresh=True)}
    assert app.vanished.listed() == []


def test_a_cleanup_tells_other_installations_at_once(
    app: Application, configured, source: Path, tmp_path: Path, clock: ManualClock
) -> None:
    configured()
    for number in range(3):
        clock.advance(3600)
        (source / "一.txt").write_text(str(number))
        app.backup("文档")
    with open_application(tmp_path / "other", clock=clock) as other:
        other.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        other.add_config(app.get_config("文档"))
        assert len(other.backups("文档")) == 3
        assert app.manager.cleanup_old_backups("文档", keep_count=1) == 2
        assert len(other.backups("文档", refresh=True)) == 1
        assert other.vanished.listed() == []
