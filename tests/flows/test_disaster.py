"""Drills and executions as flows, on a real catalogue and repository, against a real Prefect server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun

from backup_core.clock import SystemClock
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.errors import ConnectionLost
from backup_core.services.application import Application, open_application
from backup_core.services.dr_manager import DisasterRecoveryManager
from flows import disaster
from flows.disaster import disaster_recovery_drill, execute_disaster_recovery

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """A home with one backup and the plan "主站" over it."""
    monkeypatch.setenv("TEST_KEY", "key")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "home"))
    source = tmp_path / "files"
    source.mkdir()
    (source / "a.txt").write_text("content")
    with open_application() as application:
        application.add_client(ClientConfig(name="disk", url=str(tmp_path / "store")))
        application.add_config(
            BackupConfig(
                name="files",
                source_paths=[str(source)],
                target_client_id="disk",
                target_path="/b",
                encrypt_key="env:TEST_KEY",
            )
        )
        application.backup("files")
        yield application


@pytest.fixture
def plan(app: Application, tmp_path: Path) -> Callable[..., None]:
    def keep(**step: Any) -> None:
        steps = [{"name": "files", "configuration": "files", **step}]
        app.recovery.disaster_recovery.plans.add(
            RecoveryPlan.model_validate(
                {"name": "主站", "target_base_path": str(tmp_path / "out"), "steps": steps, "rto": "1h", "rpo": "1d"}
            )
        )

    return keep


def run_called(beginning: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=beginning)))
        return max(runs, key=lambda run: run.created)


def artifacts(run: FlowRun) -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        return {a.key: a.data for a in client.read_artifacts(artifact_filter=wanted) if a.key}


def test_a_drill_measures_and_reports(app: Application, plan: Callable[..., None], tmp_path: Path) -> None:
    plan(checks=[{"kind": "command", "command": "test -f files/a.txt"}])
    scratch = tmp_path / "scratch"
    done = disaster_recovery_drill("主站", scratch=str(scratch))
    assert done.good and done.rto is not None and list(scratch.iterdir()) == []
    run = run_called("drill 主站 20")
    made = artifacts(run)
    reports = {key.split("-")[0]: data for key, data in made.items()}
    assert {"drill", "drills", "readiness"} <= set(reports)
    assert "Recovery time (RTO)" in reports["drill"] and "everything came back" in reports["drill"]
    assert disaster_recovery_drill(scratch=str(scratch), return_state=True).message == "1 plans drilled"


def test_a_drill_that_finds_something_fails(app: Application, plan: Callable[..., None], tmp_path: Path) -> None:
    plan(checks=[{"kind": "file", "path": "files/missing.txt"}])
    state = disaster_recovery_drill("主站", scratch=str(tmp_path), return_state=True)
    assert state.is_failed() and "FAILED" in (state.message or "")
    assert not (tmp_path / "out").exists()


def test_an_approved_execution(app: Application, plan: Callable[..., None], tmp_path: Path) -> None:
    plan()
    state = execute_disaster_recovery("主站", approved=True, return_state=True)
    assert state.is_completed()
    assert (tmp_path / "out" / "files" / "files" / "a.txt").read_text() == "content"
    assert run_called("recover 主站 20").name.startswith("recover 主站 20")


def test_a_failed_execution_is_resumed(app: Application, plan: Callable[..., None], tmp_path: Path) -> None:
    plan(after=[{"command": f"test -e {tmp_path / 'fixed'}"}])
    assert execute_disaster_recovery("主站", approved=True, return_state=True).is_failed()
    (tmp_path / "fixed").touch()
    assert execute_disaster_recovery("主站", approved=True, resume=True, return_state=True).is_completed()
    assert len(app.recovery.disaster_recovery.history("主站")) == 1


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(
    app: Application, plan: Callable[..., None], tmp_path: Path, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan()
    monkeypatch.setattr(disaster, "_POLL", 1)
    asked: list[str] = []

    def person() -> None:
        clock = SystemClock()
        while True:
            with get_client(sync_client=True) as client:
                paused = [r for r in client.read_flow_runs() if r.state is not None and r.state.is_paused()]
                if paused:
                    asked.append(artifacts(paused[0])[f"approval-{disaster.slug('主站')}"])
                    client.resume_flow_run(paused[0].id, run_input={"approved": answer, "remark": "seen"})
                    return
            clock.sleep(0.2)

    thread = threading.Thread(target=person, daemon=True)
    thread.start()
    state = execute_disaster_recovery("主站", return_state=True)
    thread.join()
    assert "Execute 主站?" in asked[0] and "files\\_20" in asked[0]
    assert state.is_completed() if answer else state.is_cancelled() and "seen" in (state.message or "")
    assert (tmp_path / "out").exists() is answer


def test_only_errors_that_may_pass_are_tried_again(
    app: Application, plan: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan()
    monkeypatch.setattr(disaster, "recover", disaster.recover.with_options(retry_delay_seconds=0))
    real, failures = DisasterRecoveryManager.carry_out, [ConnectionLost("gone")]

    def carry_out(self: DisasterRecoveryManager, *arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(self, *arguments, **options)

    monkeypatch.setattr(DisasterRecoveryManager, "carry_out", carry_out)
    assert execute_disaster_recovery("主站", approved=True, return_state=True).is_completed()
    state = execute_disaster_recovery("没有", approved=True, return_state=True)
    assert state.is_failed() and "there is no disaster-recovery plan" in (state.message or "")
