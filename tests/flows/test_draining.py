"""A worker is stopped without breaking a run, and what was cut short goes on later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelled, Completed, Paused, Running

from backup_core.config.models import BackupConfig
from backup_core.progress import CancelToken
from backup_core.testing.clocks import ManualClock
from deployments import POOL
from deployments.choices import Choices
from deployments.draining import LONGEST_CANCELLING, Drained, close_pool, drain, main, open_pool
from deployments.planning import plan
from deployments.register import make_deployment, register_pool

pytestmark = [pytest.mark.prefect]
CONFIG = BackupConfig(name="docs", source_paths=["/srv"], target_client_id="cloud", target_path="/backups")


class BusyClock(ManualClock):
    """A clock during whose waits something happens."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self._happens = happens

    def sleep(self, seconds: float, cancel: CancelToken | None = None) -> None:
        self._happens()
        super().sleep(seconds, cancel)


@pytest.fixture(scope="module")
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    register_pool()
    deployments = [make_deployment(planned, Choices.of([CONFIG], [])) for planned in plan(CONFIG, "Etc/UTC")]
    made = [deployment.apply() for deployment in deployments]
    with get_client(sync_client=True) as client:
        yield client
        for one in made:
            client.delete_deployment(one)


def begin(client: SyncPrefectClient, flow: str, state: Any, **parameters: Any) -> Any:
    deployment = client.read_deployment_by_name(f"{flow}/docs")
    run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    client.set_flow_run_state(run.id, state, force=True)
    return run


def drained(client: SyncPrefectClient, clock: ManualClock, *, hurry: CancelToken | None = None) -> Drained:
    said: list[str] = []
    token = hurry or CancelToken()
    return drain(client, POOL, patience=10.0, hurry=token, clock=clock, say=said.append)


def test_runs_end_by_themselves_or_are_cancelled_and_backups_are_put_down_again(client: SyncPrefectClient) -> None:
    quick = begin(client, "validate-backups", Running())
    backup = begin(client, "full-backup", Running(), dry_run=True)
    restore = begin(client, "restore", Running(), target="/srv/out")
    waiting = begin(client, "cleanup-backups", Paused(timeout_seconds=3600))
    late = (backup, restore, waiting)

    def happen() -> None:
        client.set_flow_run_state(quick.id, Completed(), force=True)
        for run in late:
            if client.read_flow_run(run.id).state.is_cancelling():
                client.set_flow_run_state(run.id, Cancelled(), force=True)

    assert close_pool(client, POOL) and not close_pool(client, POOL)
    clock = BusyClock(happen)
    done = drained(client, clock)
    assert set(done.cancelled) == {run.name for run in late} and done.left == ()
    assert sum(clock.slept) == pytest.approx(11, abs=2), "the patience, and no longer than needed"
    assert done.put_down_again == (backup.name,), "a restore is not begun anew without anybody asked"
    (again,) = [run for run in client.read_flow_runs() if run.state.is_scheduled()]
    assert (again.flow_id, again.parameters["dry_run"]) == (backup.flow_id, True)
    assert client.read_flow_run(quick.id).state.is_completed()
    client.delete_flow_run(again.id)
    open_pool(client, POOL)


def test_what_does_not_stop_is_named_and_a_hurry_ends_the_patience(client: SyncPrefectClient) -> None:
    stuck = begin(client, "validate-backups", Running())
    hurry = CancelToken()
    hurry.cancel()
    clock = ManualClock()
    assert drained(client, clock, hurry=hurry) == Drained((), (), (stuck.name,))
    assert sum(clock.slept) == pytest.approx(LONGEST_CANCELLING + 1, abs=2)
    client.set_flow_run_state(stuck.id, Cancelled(), force=True)


def test_a_pool_that_a_person_has_paused_stays_so(client: SyncPrefectClient, tmp_path: Path, capsys: Any) -> None:
    note = tmp_path / "drained"
    close_pool(client, POOL)
    assert main(["--note", str(note), "--patience", "0"]) == 0
    assert main(["--open", "--note", str(note)]) == 0
    assert client.read_work_pool(POOL).is_paused
    open_pool(client, POOL)
    assert main(["--note", str(note), "--patience", "0"]) == 0
    assert client.read_work_pool(POOL).is_paused
    assert main(["--open", "--note", str(note)]) == 0
    assert not client.read_work_pool(POOL).is_paused and not note.exists()
