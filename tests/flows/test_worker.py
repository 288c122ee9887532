"""The worker at its start: it waits for its server, and what it takes up is told apart from what lives."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling, Completed, Crashed, Paused, Running
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from backup_core.config.models import BackupConfig
from deployments import POOL, worker
from deployments.choices import Choices
from deployments.planning import plan
from deployments.register import make_deployment, register_pool
from deployments.unfinished import MOST_TIMES, UNHEARD, go_on, is_alive, take_up
from flows.backup import store

pytestmark = [pytest.mark.prefect]
CONFIG = BackupConfig(name="docs", source_paths=["/srv"], target_client_id="cloud", target_path="/backups")


def test_whoever_asks_prefect_for_a_worker_gets_its_own() -> None:
    assert BaseWorker.get_worker_class_from_type("process") is ProcessWorker
    assert worker.DrainingWorker.type == "process"


class Absent:
    """A client of a server that comes up at the third question."""

    def __init__(self) -> None:
        self.asked = 0

    def __enter__(self) -> Absent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def api_healthcheck(self) -> Exception | None:
        self.asked += 1
        return ConnectionError("refused") if self.asked < 3 else None


def test_it_waits_for_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    client, taken = Absent(), []
    monkeypatch.setattr(worker, "_ASK_AGAIN", 0.01)
    monkeypatch.setattr(worker, "get_client", lambda **_: client)
    monkeypatch.setattr(worker, "take_up", lambda *arguments: taken.append(arguments))
    assert asyncio.run(worker._begin("me", "pool", asyncio.Queue()))
    assert (client.asked, taken) == (3, [(client, "pool", "me")])

    async def with_a_signal() -> bool:
        signals: asyncio.Queue[int] = asyncio.Queue()
        signals.put_nowait(15)
        return await worker._begin("me", "pool", signals)

    client.asked = 0
    monkeypatch.setattr(worker, "_ASK_AGAIN", 60)
    assert not asyncio.run(with_a_signal())


def test_a_process_is_known_by_its_run() -> None:
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="a")
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(run.id)}
    wait = "import sys; sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", wait], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        assert is_alive(run.model_copy(update={"infrastructure_pid": str(child.pid)}))
        assert not is_alive(run.model_copy(update={"infrastructure_pid": str(os.getpid())})), "another process"
        child.communicate()
    assert not is_alive(run.model_copy(update={"infrastructure_pid": str(child.pid)}))
    assert not is_alive(run), "it was never started"


@pytest.mark.usefixtures("prefect_server")
def test_what_a_dead_worker_left() -> None:
    register_pool()
    for planned in (one for one in plan(CONFIG, "Etc/UTC") if one.flow.name in ("full-backup", "restore", "mirror")):
        make_deployment(planned, Choices.of([CONFIG], [])).apply()
    with get_client(sync_client=True) as client:

        def begin(flow: str, state: Any, worker: str = "me") -> Any:
            found = client.read_deployment_by_name(f"{flow}/docs")
            parameters = {"target": "/srv/out"} if flow == "restore" else {}
            run = client.create_flow_run_from_deployment(found.id, parameters=parameters)
            client.update_flow_run_labels(run.id, {"prefect.worker.name": worker})
            client.set_flow_run_state(run.id, state, force=True)
            return run

        def state(run: Any) -> StateType:
            return client.read_flow_run(run.id).state.type

        ended = begin("full-backup", Completed())
        unwanted = begin("restore", Cancelling())
        waits = begin("restore", Paused(timeout_seconds=3600))
        of_another = begin("full-backup", Running(), worker="somebody else")
        works = begin("full-backup", Running())
        stages = [
            client.create_task_run(store, works.id, dynamic_key=str(number), state=state)
            for number, state in enumerate((Completed(), Running()))
        ]
        before = {run.id for run in client.read_flow_runs(limit=200)}
        assert take_up(client, POOL, "me") == []
        assert (state(works), state(waits), state(unwanted)) == (
            StateType.CRASHED, StateType.CRASHED, StateType.CANCELLED,
        )  # fmt: skip
        assert (state(of_another), state(ended)) == (StateType.RUNNING, StateType.COMPLETED)
        assert [client.read_task_run(stage.id).state.type for stage in stages] == [
            StateType.COMPLETED, StateType.CRASHED,
        ]  # fmt: skip
        made = [run for run in client.read_flow_runs(limit=200) if run.id not in before]
        assert [run.idempotency_key for run in made] == [f"goes-on-1-{works.id}"], "a restore is not begun by itself"
        take_up(client, POOL, "me")
        assert len(client.read_flow_runs(limit=200)) == len(before) + 1, "once"

        unheard = begin("full-backup", Crashed(message=f"{UNHEARD} for 9 minutes."))
        take_up(client, POOL, "me")
        again = go_on(client, client.read_flow_run(unheard.id))
        assert again is not None and again.idempotency_key == f"goes-on-1-{unheard.id}"
        for _ in range(MOST_TIMES - 1):
            again = go_on(client, again)
            assert again is not None
        assert go_on(client, again) is None, "a run that crashes each time has a cause that another try cannot mend"
        for run in client.read_flow_runs(limit=200):
            client.delete_flow_run(run.id)
