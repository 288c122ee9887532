"""Readiness finds what would keep a plan from being executed, without moving data, and says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_core.services.application import Application
from backup_core.services.disaster.plans import KeptPlan
from backup_core.services.disaster.records import ReadinessReport
from backup_core.services.disaster.reports import readiness_markdown
from backup_core.services.dr_manager import DisasterRecoveryManager

Planned = Callable[..., KeptPlan]


def errors(report: ReadinessReport) -> dict[str, str]:
    return {f.subject: f.message for f in report.findings if f.level.value == "error"}


def warnings(report: ReadinessReport) -> dict[str, str]:
    return {f.subject: f.message for f in report.findings if f.level.value == "warning"}


def test_a_plan_that_is_ready(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, live: Path, tmp_path: Path
) -> None:
    planned(rpo="1d", rto="1h")
    first = manager.readiness("主站")
    assert first.passed and not (tmp_path / "recovered").exists(), "nothing is moved"
    assert first.rto_estimate is None and "was ever measured" in warnings(first)["recovery time"]
    assert "never drilled" in warnings(first)["drill"]
    assert all(f.advice for f in first.findings if f.level.value != "ok")
    assert any("proved listings" in f.message for f in first.findings)
    (live / "上传" / "large.bin").write_bytes(bytes(2 << 20))
    app.backup("上传")
    manager.drill("主站", scratch=tmp_path / "scratch")
    second = manager.readiness("主站")
    assert second.passed and warnings(second) == {}
    assert second.rto_estimate is not None and 0 < second.rto_estimate < 3600
    assert "is ready" in readiness_markdown(second)
    assert manager.get("主站").last_tested_at is not None


def test_objectives_that_cannot_be_met(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, live: Path, tmp_path: Path
) -> None:
    planned(rpo=0.001, rto=1e-9)
    (live / "上传" / "large.bin").write_bytes(bytes(2 << 20))
    app.backup("上传")
    app.restore("上传", target=tmp_path / "measured")
    found = errors(manager.readiness("主站"))
    assert "would be lost" in found["backup of db"]
    assert "are allowed" in found["recovery time"]


def test_a_missing_pack_is_found_without_downloading(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned()
    packs = [p for p in (tmp_path / "store" / "上传" / "data").rglob("*") if p.is_file()]
    max(packs, key=lambda p: p.stat().st_size).unlink()
    report = manager.readiness("主站")
    assert not report.passed
    assert "missing" in errors(report)["data of uploads"]
    assert "NOT ready" in readiness_markdown(report)


def test_a_key_that_is_gone(
    manager: DisasterRecoveryManager, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    monkeypatch.delenv("TEST_KEY")
    report = manager.readiness("主站")
    assert "TEST_KEY is not set" in errors(report)["backup of db"]
    monkeypatch.setenv("TEST_KEY", "another")
    assert "does not open" in errors(manager.readiness("主站"))["backup of db"]


def test_targets_programs_and_people(manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    planned(
        steps={
            "db": {"target": str(tmp_path / "file" / "below")},
            "code": {"after": [{"command": ["no-such-program", "x"]}, {"command": ["{target}/start"]}]},
            "uploads": {"configuration": "没有"},
        },
        notification_email="admin@example.com",
    )
    report = manager.readiness("主站")
    found = errors(report)
    assert "no directory" in found["target of db"]
    assert found["commands of code"] == "there is no program no-such-program"
    assert "没有" in found["backup of uploads"]
    assert "no mail server" in warnings(report)["notifications"]


def test_too_little_room(manager: DisasterRecoveryManager, planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    planned()
    monkeypatch.setattr("backup_core.services.disaster.readiness.free_bytes", lambda path: 1000)
    assert "MiB are needed" in errors(manager.readiness("主站"))["room"]
