"""The flows ``mirror`` and ``health-check`` against a real Prefect server."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from backup_core.config.models import BackupConfig
from backup_core.errors import AccessDenied
from backup_core.results import Outcome, Problem
from backup_core.services.findings import FindingLevel
from backup_core.services.health.records import HealthCheck, HealthReport
from backup_core.services.mirroring.result import MirrorResult
from flows import mirror as mirror_module
from flows.health_check import health_check, health_report
from flows.mirror import mirror
from flows.validate import validate_backups

from .conftest import FakeApplication

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

NAME = "重要文档"


def config(name: str, *clients: str) -> BackupConfig:
    mirrors = [{"client": client, "path": "/copies"} for client in clients]
    return BackupConfig(name=name, source_paths=["/srv"], target_client_id="cloud", target_path="/b", mirrors=mirrors)


def copied(client: str, **changes: Any) -> MirrorResult:
    facts: dict[str, Any] = {
        "config_name": NAME, "client": client, "path": "/copies", "location": "/disk/copies", "dry_run": False,
        "outcome": Outcome.COMPLETED, "copied": (f"{NAME}_20261123_020000",), "bytes_written": 5 << 20,
    }  # fmt: skip
    return MirrorResult(**(facts | changes))


def newest_artifact() -> tuple[FlowRun, str, str]:
    """The newest run, and key and text of its markdown page."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        (page,) = [a for a in client.read_artifacts(artifact_filter=wanted) if a.type == "markdown"]
    return run, str(page.key), str(page.data)


@pytest.fixture
def mirrors(application: FakeApplication) -> list[dict[str, Any]]:
    """An application with one configuration with two mirrors, and one without; the calls to the mirroring."""
    calls: list[dict[str, Any]] = []

    def run(name: str, **options: Any) -> list[MirrorResult]:
        calls.append({"name": name, **options})
        answer = application.answers.get("copy")
        return [answer(options["to"]) if answer else copied(options["to"])]

    application.answers["list_configs"] = lambda **_: [config("plain"), config(NAME, "usb", "office")]
    application.answers["get_config"] = lambda name: config(name, "usb", "office")
    vars(application)["mirroring"] = SimpleNamespace(run=run)
    return calls


def test_every_mirror_of_every_configuration_is_brought_up_to_date(mirrors: list[dict[str, Any]]) -> None:
    state = mirror(return_state=True)
    assert state.is_completed()
    assert state.message == "2 backups copied to 2 mirrors"
    assert [(call["name"], call["to"], call["path"], call["dry_run"]) for call in mirrors] == [
        (NAME, "usb", "/copies", False),
        (NAME, "office", "/copies", False),
    ]
    run, key, page = newest_artifact()
    assert run.name.startswith("mirror all configurations 20")
    assert key.startswith("mirror-")
    assert "2 backups copied to 2 of 2 mirrors" in page
    assert "5.0 MiB" in page


def test_one_mirror_that_fails_does_not_keep_the_others_from_their_copies(
    application: FakeApplication, mirrors: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(client: str) -> MirrorResult:
        if client == "usb":
            raise AccessDenied("wrong password")
        return copied(client)

    application.answers["copy"] = answer
    monkeypatch.setattr(mirror_module, "copy", mirror_module.copy.with_options(retry_delay_seconds=0))
    state = mirror(NAME, check=True, return_state=True)
    assert state.is_failed()
    assert "usb:/copies" in state.message
    assert [call["to"] for call in mirrors] == ["usb", "office"]
    assert all(call["check"] for call in mirrors)
    _, _, page = newest_artifact()
    assert "**FAILED**" in page
    assert "wrong password" in page


def test_damage_in_the_first_repository_fails_the_run(
    application: FakeApplication, mirrors: list[dict[str, Any]]
) -> None:
    problem = Problem("not-mirrored", "the snapshot ab is damaged")
    bad = {"outcome": Outcome.COMPLETED_WITH_PROBLEMS, "left_out": {"docs_1": "a pack is gone"}, "problems": (problem,)}
    application.answers["copy"] = lambda client: copied(client, **bad)
    assert mirror(NAME, return_state=True).is_failed()
    _, _, page = newest_artifact()
    assert "a pack is gone" in page
    assert "run a full backup" in page


def report(*levels: FindingLevel) -> HealthReport:
    checks = [
        HealthCheck(NAME, "age", level, "the newest backup is 3 days | old", "back up now", 259200.0, 172800.0)
        for level in levels
    ]
    return HealthReport(datetime(2026, 11, 23, 8), tuple(checks), 1.0)


@pytest.mark.parametrize(
    ("levels", "fails", "headline"),
    [
        ((FindingLevel.OK,), False, "# All is well"),
        ((FindingLevel.OK, FindingLevel.WARNING), False, "# All is well, with 1 warnings"),
        ((FindingLevel.OK, FindingLevel.ERROR), True, "# 1 things are wrong"),
    ],
)
def test_the_health_check_fails_when_anything_is_wrong(
    application: FakeApplication, levels: tuple[FindingLevel, ...], fails: bool, headline: str
) -> None:
    asked: list[dict[str, Any]] = []

    def check(names: Any, **options: Any) -> HealthReport:
        asked.append({"names": names, **options})
        return report(*levels)

    vars(application)["health"] = SimpleNamespace(check=check)
    state = health_check(NAME, rpo_hours=24, return_state=True)
    assert state.is_failed() is fails
    assert (asked[0]["names"], asked[0]["rpo"]) == ((NAME,), 24 * 3600)
    _, key, page = newest_artifact()
    assert key.startswith("health-")
    assert page.startswith(headline)


def test_the_worst_comes_first_and_tables_stay_whole() -> None:
    page = health_report(report(FindingLevel.OK, FindingLevel.ERROR))
    rows = [line for line in page.splitlines() if line.startswith("| 重要")]
    assert "**ERROR**" in rows[0]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_the_copies_in_a_mirror_can_be_validated(application: FakeApplication) -> None:
    assert validate_backups("docs", depth="data", mirror="usb")
    (call,) = application.called("validate")
    assert (call["config_name"], call["mirror"], call["depth"]) == ("docs", "usb", "data")
