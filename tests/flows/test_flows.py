"""The flows against a real Prefect server, with an application that answers as told."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal

from backup_core.errors import AccessDenied, BackupExecutionError, Cancelled, ConnectionLost
from backup_core.progress import Progress
from backup_core.results import Outcome, Problem
from flows import _runtime
from flows import backup as backup_module
from flows.backup import full_backup, incremental_backup
from flows.restore import restore
from flows.validate import validate_backups

from .conftest import FakeApplication, backup_summary, restore_summary, validation

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def newest_run() -> FlowRun:
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def artifacts(run: FlowRun) -> list[Any]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        return client.read_artifacts(artifact_filter=wanted)


def test_a_backup_has_a_name_a_state_and_a_report(application: FakeApplication) -> None:
    state = incremental_backup("重要文档", return_state=True)

    run = newest_run()
    assert run.name.startswith("incremental 重要文档 20")
    assert state.is_completed()
    assert state.result().files == 1234
    (call,) = application.called("backup")
    assert (call["kind"], call["dry_run"]) == ("incremental", False)
    reports = {a.key: a.data for a in artifacts(run) if a.type == "markdown"}
    assert list(reports) == [f"backup-{_runtime.slug('重要文档')}"]
    assert "1,234 files" in next(iter(reports.values()))


def test_the_caller_gets_the_summary(application: FakeApplication) -> None:
    assert full_backup("docs", dry_run=True) == backup_summary()
    (call,) = application.called("backup")
    assert (call["kind"], call["dry_run"]) == ("full", True)


def test_without_a_name_every_configuration_is_backed_up(application: FakeApplication) -> None:
    configs = [application.get_config(name) for name in ("docs", "broken", "photos")]
    application.answers["list_configs"] = lambda **_: configs

    def answer(name: str, **_: Any) -> Any:
        if name == "broken":
            raise AccessDenied("no")
        return backup_summary(backup_id=name)

    application.answers["backup"] = answer
    state = incremental_backup(return_state=True)
    assert state.is_failed()
    assert state.message == "1 of 3 configurations were not backed up: broken"
    assert [arguments[0] for method, arguments, _ in application.calls if method == "backup"] == [
        "docs", "broken", "photos",
    ]  # fmt: skip
    configs.pop(1)
    assert [s.backup_id for s in full_backup()] == ["docs", "photos"]


def test_problems_show_in_the_state_and_in_the_report(application: FakeApplication) -> None:
    problem = Problem("unreadable", "/srv/data/a|b cannot be read", path="/srv/data/a|b")
    answer = backup_summary(outcome=Outcome.COMPLETED_WITH_PROBLEMS, problems=(problem,))
    application.answers["backup"] = lambda name, **_: answer

    state = full_backup("docs", return_state=True)

    assert (state.type.value, state.name) == ("COMPLETED", "Completed with problems")
    (report,) = [a.data for a in artifacts(newest_run()) if a.type == "markdown"]
    assert r"warning: /srv/data/a\|b cannot be read" in report


def test_only_errors_that_may_pass_are_tried_again(
    application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = backup_module.store.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(backup_module, "store", quick)
    outcomes: list[Any] = [ConnectionLost("gone"), BackupExecutionError("again", transient=True), backup_summary()]

    def answer(name: str, **_: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    application.answers["backup"] = answer
    assert incremental_backup("docs").files == 1234
    assert len(application.called("backup")) == 3

    application.calls.clear()
    outcomes[:] = [AccessDenied("the password is wrong")]
    with pytest.raises(AccessDenied, match="the password is wrong"):
        incremental_backup("docs")
    assert len(application.called("backup")) == 1


def test_cancelling_stops_the_work_through_its_token(application: FakeApplication) -> None:
    began, ended = threading.Event(), threading.Event()

    def answer(name: str, *, cancel: Any, **_: Any) -> Any:
        began.set()
        assert cancel.wait(60)
        ended.set()
        raise Cancelled(cancel.reason)

    application.answers["backup"] = answer
    future = InterruptedFuture(began)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_runtime, "Future", lambda: future)
        with pytest.raises(TerminationSignal):
            _runtime.run_stage(
                lambda app, cancel, progress: app.backup("docs", cancel=cancel, progress=progress), title="backup"
            )
    assert ended.is_set()


class InterruptedFuture:
    """A future whose waiter is interrupted as Prefect does it, once the work has begun."""

    def __init__(self, began: threading.Event) -> None:
        self._began = began
        self._settled = False

    def result(self) -> None:
        assert self._began.wait(60)
        raise TerminationSignal(15)

    def done(self) -> bool:
        return self._settled

    def set_result(self, _: object) -> None:
        self._settled = True

    set_exception = set_result


def test_one_writer_at_a_time_per_repository(application: FakeApplication) -> None:
    config = application.get_config("docs")
    with _runtime.only_writer(config), get_client(sync_client=True) as client:
        held = client.read_global_concurrency_limit_by_name(_runtime.writer_limit(config))
        assert (held.limit, held.active_slots) == (1, 1)
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name(_runtime.writer_limit(config)).active_slots == 0


def test_configurations_of_one_repository_share_its_limit(application: FakeApplication) -> None:
    one, other = application.get_config("docs"), application.get_config("photos")
    assert _runtime.writer_limit(one) == _runtime.writer_limit(other)
    elsewhere = other.model_copy(update={"target_path": "/elsewhere"})
    assert _runtime.writer_limit(elsewhere) != _runtime.writer_limit(one)


def test_damage_fails_the_validation_and_is_reported(application: FakeApplication) -> None:
    bad = validation(is_valid=False, files_passed=9, errors=("/srv/data/x: pack 12ab is damaged",))
    application.answers["validate"] = lambda ids, **_: [validation(), bad]

    state = validate_backups("docs", depth="data", subset="1/7", return_state=True)

    assert state.is_failed()
    assert "1 of 2 backups are damaged" in state.message
    (call,) = application.called("validate")
    assert (call["config_name"], call["depth"], call["subset"]) == ("docs", "data", "1/7")
    (report,) = [a.data for a in artifacts(newest_run()) if a.type == "markdown"]
    assert "pack 12ab is damaged" in report
    assert "run a full backup" in report


def test_a_restore_writes_what_was_planned(application: FakeApplication) -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    assert restore(target="/srv/restored", configuration="docs", at=at, patterns=["*.pdf"]) == restore_summary()
    (planned,), (written,) = application.called("plan_restore"), application.called("restore")
    assert (planned["at"], planned["patterns"]) == (at, ("*.pdf",))
    # The moment is looked up once: a backup made meanwhile must not change what is written.
    assert written["backup_id"] == "重要文档_20261123_020000"
    assert written["verify"] is True


def test_a_dry_run_of_a_restore_writes_nothing(application: FakeApplication) -> None:
    assert restore(target="/srv/restored", configuration="docs", dry_run=True).creates == 8
    assert application.called("restore") == []


@pytest.mark.parametrize(
    ("flow", "arguments"),
    [
        (full_backup, {"configuration": ""}),
        (validate_backups, {"depth": "deep"}),
        (validate_backups, {"subset": "some"}),
        (restore, {"target": "relative/path", "configuration": "docs"}),
        (restore, {"target": "/x", "configuration": "docs", "overwrite": "perhaps"}),
    ],
)
def test_wrong_parameters_are_refused(application: FakeApplication, flow: Any, arguments: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError):
        flow(**arguments)
    assert application.calls == []


def test_the_librarys_log_lines_reach_the_run(application: FakeApplication) -> None:
    import logging

    def answer(name: str, *, progress: Any, **_: Any) -> Any:
        progress(Progress("backup", files_done=1))
        logging.getLogger("backup_core.engine").info("a line of the library")
        return backup_summary()

    application.answers["backup"] = answer
    incremental_backup("docs")
    run = newest_run()
    with get_client(sync_client=True) as client:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
        messages = _eventually(lambda: [log.message for log in client.read_logs(wanted)], "a line of the library")
    assert "a line of the library" in messages


def _eventually(read: Any, wanted: str) -> list[str]:
    """Log records are sent by a thread of Prefect's; ask for them until it has got round to it."""
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    found: list[str] = []
    for _ in range(100):
        found = read()
        if wanted in found:
            break
        threading.Event().wait(0.1)
    return found


def test_run_forms_explain_every_parameter() -> None:
    for flow in (full_backup, incremental_backup, validate_backups, restore):
        silent = [n for n, p in flow.parameters.properties.items() if not p.get("description")]
        assert silent == [], flow.name
        assert flow.description
