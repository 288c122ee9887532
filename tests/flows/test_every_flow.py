"""What holds for every flow and task there is, found by looking at all of them."""

from __future__ import annotations

import ast
import importlib
import logging
import pkgutil
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow, Task, get_client
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Abort, CancelledRun
from prefect.states import Cancelling, Crashed

import flows
from backup_core.config.models import BackupConfig
from backup_core.errors import AccessDenied, BackupExecutionError, Cancelled, ConnectionLost
from backup_core.progress import CancelToken
from deployments.planning import plan, plan_fleet, plan_for_all, plan_recovery
from deployments.register import JOB_VARIABLES
from flows._given_up import GivenUpWatch
from flows._runtime import transient
from flows.backup import incremental_backup
from flows.cleanup import cleanup_backups
from flows.disaster import execute_disaster_recovery
from flows.restore import restore

from .conftest import FakeApplication, backup_summary

DOCUMENT = yaml.safe_load((Path(__file__).resolve().parents[2] / "prefect.yaml").read_text())
pytestmark = [pytest.mark.prefect]


def _found(kind: type) -> dict[str, Any]:
    made = {}
    for module in pkgutil.iter_modules(flows.__path__, "flows."):
        loaded = importlib.import_module(module.name)
        for value in vars(loaded).values():
            if isinstance(value, kind) and value.fn.__module__ == module.name:
                made[f"{module.name}.{value.fn.__name__}"] = value
    return made


FLOWS: dict[str, Flow[..., Any]] = _found(Flow)
TASKS: dict[str, Task[..., Any]] = _found(Task)


def test_all_of_them_are_looked_at() -> None:
    assert {flow.name for flow in FLOWS.values()} == {
        "alerts", "cleanup-backups", "disaster-recovery-drill", "execute-disaster-recovery", "fleet-backup",
        "full-backup", "health-check", "incremental-backup", "mirror", "restore", "storage-report",
        "validate-backups",
    }  # fmt: skip
    assert len(TASKS) > 20


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow(name: str) -> None:
    flow = FLOWS[name]
    assert flow.timeout_seconds, "a run that hangs ends some day"
    assert callable(flow.flow_run_name), "runs have names that people know them by"
    assert not flow.retries, "stages are tried again, and only for errors that may pass; not everything from the start"
    assert flow.persist_result is False
    assert flow.description
    assert [n for n, p in flow.parameters.properties.items() if not p.get("description")] == []
    assert not flow.on_cancellation_hooks and not flow.on_crashed_hooks and not flow.on_failure_hooks
    assert flow.fn.__wrapped__.__module__ == flow.fn.__module__, "it ends with a page also when it fails"


@pytest.mark.parametrize("name", TASKS)
def test_a_task(name: str) -> None:
    task = TASKS[name]
    assert task.cache_policy == NO_CACHE, "backups are not skipped because there was one with the same parameters"
    assert task.persist_result is False
    if task.retries:
        assert task.retry_condition_fn is transient, "only errors that may pass are tried again"
        delays = task.retry_delay_seconds
        assert isinstance(delays, list) and len(delays) == task.retries
        assert all(later == 2 * earlier for earlier, later in pairwise(delays)), "exponential"
        assert task.retry_jitter_factor, "not all at the same moment"
    else:
        assert task.retry_condition_fn is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionLost("gone"), True),
        (BackupExecutionError("503", transient=True), True),
        (BackupExecutionError("damaged"), False),
        (AccessDenied("no"), False),
        (ValueError("a fault of the program"), False),
    ],
)
def test_which_errors_are_tried_again(error: Exception, again: bool) -> None:
    class Result:
        def result(self, raise_on_failure: bool) -> Exception:
            return error

    assert transient(None, None, Result()) is again


def test_what_could_destroy_does_nothing_by_default() -> None:
    def default(flow: Flow[..., Any], parameter: str) -> object:
        return flow.parameters.properties[parameter]["default"]

    assert default(cleanup_backups, "dry_run") is True
    assert default(restore, "overwrite") == "never"
    assert default(execute_disaster_recovery, "approved") is False


def test_deployments_are_as_they_must_be() -> None:
    config = BackupConfig(name="a", source_paths=["/s"], target_client_id="c", target_path="/b", schedule_time="02:00")
    planned = [*plan(config, "Etc/UTC"), *plan_for_all("Etc/UTC"), *plan_recovery("p", "Etc/UTC"), plan_fleet()]
    assert {one.flow.name for one in planned} >= {flow.name for flow in FLOWS.values()} - {"mirror"}
    assert JOB_VARIABLES["stream_output"] is False, "a run outlives its worker"
    for deployment in DOCUMENT["deployments"]:
        assert deployment["entrypoint"] in FLOWS, "a dotted path, not one of a file"
        assert deployment["work_pool"]["job_variables"]["stream_output"] is False


def test_nothing_is_used_that_misleads() -> None:
    """Transactions are rolled back by attempts that are tried again; tasks given to a runner cannot be stopped."""
    for path in Path(flows.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        called = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
        assert "transaction" not in imported and not called & {"submit", "map", "delay"}, path


def test_lines_of_the_library_are_seen() -> None:
    assert logging.getLogger("backup_core").isEnabledFor(logging.INFO)


def pages() -> tuple[FlowRun, dict[str, str]]:
    """The newest run of its own, and its markdown pages by key."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=10)
        run = next(run for run in runs if run.parent_task_run_id is None)
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        found = client.read_artifacts(artifact_filter=wanted)
    return run, {str(page.key): str(page.data) for page in found if page.type == "markdown"}


@pytest.mark.usefixtures("prefect_server")
class TestEndings:
    """Every run leaves a page, however it ends."""

    def test_a_failure_says_what_to_do(self, application: FakeApplication) -> None:
        def answer(name: str, **_: Any) -> Any:
            raise AccessDenied("the password of cloud|1 was refused")

        application.answers["backup"] = answer
        assert incremental_backup("docs", return_state=True).is_failed()
        run, found = pages()
        page = found["incremental-backup-failed"]
        assert r"the password of cloud\|1 was refused" in page and "## What to do\n\n- " in page
        assert f"[This run](/runs/flow-run/{run.id})" in page and "/artifacts/key/storage-trend" in page

    def test_a_run_over_everything_lists_what_became_of_each(self, application: FakeApplication) -> None:
        application.answers["list_configs"] = lambda **_: [application.get_config(name) for name in ("docs", "broken")]

        def answer(name: str, **_: Any) -> Any:
            if name == "broken":
                raise AccessDenied("no")
            return backup_summary()

        application.answers["backup"] = answer
        assert incremental_backup(return_state=True).is_failed()
        page = pages()[1]["backup-all"]
        assert "# 1 of 2 configurations backed up" in page and "| broken | **Failed** |" in page

    def test_a_dry_run_of_a_restore_shows_its_plan(self, application: FakeApplication) -> None:
        restore(target="/srv/restored", configuration="docs", dry_run=True)
        assert "# 9 entries would be written" in pages()[1]["restore-plan-docs"]

    @pytest.mark.parametrize("state", [Cancelling(), Crashed()])
    def test_a_run_that_the_server_gives_up_stops(
        self, application: FakeApplication, state: State[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both of its configurations: the second one is not begun."""
        monkeypatch.setattr("flows._given_up.INTERVAL", 0.05)
        application.answers["list_configs"] = lambda **_: [application.get_config(name) for name in ("docs", "photos")]
        began = threading.Event()

        def answer(name: str, *, cancel: CancelToken, **_: Any) -> Any:
            began.set()
            assert cancel.wait(60)
            raise Cancelled(cancel.reason)

        def give_up() -> None:
            assert began.wait(60)
            run, _ = pages()
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(run.id, state, force=True)

        application.answers["backup"] = answer
        thread = threading.Thread(target=give_up)
        thread.start()
        with suppress(CancelledRun, Abort):
            incremental_backup()
        thread.join()
        run, found = pages()
        assert len(application.called("backup")) == 1
        assert run.state is not None
        assert run.state.type is (StateType.CANCELLED if state.is_cancelling() else StateType.CRASHED)
        assert "the Prefect server says that the run is" in found["incremental-backup-stopped"]

    def test_a_server_that_does_not_answer_has_not_given_up_anything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flows._given_up.INTERVAL", 0.01)
        asked = threading.Event()

        def refused(**_: Any) -> Any:
            asked.set()
            raise ConnectionError("refused")

        monkeypatch.setattr("flows._given_up.get_client", refused)
        cancel = CancelToken()
        with GivenUpWatch(cancel) as watch:
            assert asked.wait(60)
        assert watch.found is None and not cancel.cancelled
