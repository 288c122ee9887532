"""Runs whose work ended before they did: putting them down once more, and finding those that a dead worker has left."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed

from flows._going_on import key_of, times_of

GO_ON = frozenset({"full-backup", "incremental-backup", "mirror"})
"""Flows that may begin anew without anybody asked: they overwrite nothing, and reuse what was stored already."""
MOST_TIMES = 3
"""So often in a row a run goes on: one that crashes each time has a cause that another try cannot mend."""
AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
WITH_A_PROCESS = (*AT_WORK, StateType.PAUSED)
"""A run that waits for a person keeps its process."""
UNHEARD = "Nothing was heard of this run"
"""Beginning of the message of a state that the server gives to a run without a heartbeat (``automations``)."""
_DIED = "The worker and the run's process have died, and a worker was started again."
_BEGUN = (*WITH_A_PROCESS, StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)
_PAGE = 200
_WORKER = "prefect.worker.name"
"""Label that a worker gives to the runs it takes."""

_logger = logging.getLogger(__name__)


def runs_of(
    client: SyncPrefectClient, pool: str, worker: str, states: Iterable[StateType] = WITH_A_PROCESS
) -> list[FlowRun]:
    """The runs in these states that the worker of this name has taken, newest first."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))))
    found = client.read_flow_runs(
        flow_run_filter=wanted,
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_PAGE,
    )
    return [run for run in found if run.labels.get(_WORKER) == worker]


def take_up(client: SyncPrefectClient, pool: str, worker: str) -> list[FlowRun]:
    """Call the runs of a dead worker crashed whose processes are gone, and put down those that may go on; also those
    that the server has called crashed meanwhile because nothing was heard of them.

    To be called by the next worker of that name, on the same machine and before it takes any run itself. Returns the
    runs whose processes still live.
    """
    alive = []
    for run in runs_of(client, pool, worker):
        if is_alive(run):
            _logger.warning("%s is still at work, without a worker; it ends by itself", run.name)
            alive.append(run)
            continue
        unwanted = run.state is not None and run.state.is_cancelling()
        for one in (run, *_children(client, run)):
            state: State[None] = Cancelled(message=_DIED) if unwanted else Crashed(message=_DIED)
            client.set_flow_run_state(one.id, state, force=True)
            end_stages(client, one)
        again = None if unwanted else go_on(client, run)
        _logger.warning("%s has died%s", run.name, "; its work goes on" if again else "")
    newest = {run.deployment_id: run for run in reversed(runs_of(client, pool, worker, _BEGUN))}
    for run in newest.values():
        if run.state is not None and run.state.is_crashed() and (run.state.message or "").startswith(UNHEARD):
            end_stages(client, run)
            go_on(client, run)
    return alive


def end_stages(client: SyncPrefectClient, run: FlowRun) -> None:
    """Call the stages crashed that died with their run: Prefect leaves them at work for ever on the run's page."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    at_work = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=list(AT_WORK))))
    for stage in client.read_task_runs(flow_run_filter=of_run, task_run_filter=at_work):
        client.set_task_run_state(stage.id, Crashed(message="The run's process has died."), force=True)


def go_on(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    """Put a run that ended early down once more; None when it is of a kind that a person must start, or has had its
    tries. Asked twice for one run it is put down once."""
    times = times_of(run.idempotency_key) + 1
    if run.deployment_id is None or times > MOST_TIMES or client.read_flow(run.flow_id).name not in GO_ON:
        return None
    return client.create_flow_run_from_deployment(
        run.deployment_id, parameters=run.parameters, idempotency_key=key_of(run.id, times)
    )


def is_alive(run: FlowRun) -> bool:
    """Whether a run's process lives on this machine."""
    with suppress(ValueError, OSError):
        environment = Path(f"/proc/{int(run.infrastructure_pid or '')}/environ").read_bytes()
        # The number may have gone to another process meanwhile.
        return str(run.id).encode() in environment
    return False


def _children(client: SyncPrefectClient, run: FlowRun) -> Iterator[FlowRun]:
    """The runs that a run has started and not seen the end of, and theirs."""
    wanted = FlowRunFilter(
        parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(AT_WORK))),
    )
    for child in client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE):
        yield child
        yield from _children(client, child)


def named(runs: Iterable[FlowRun]) -> str:
    """Their names in a sentence."""
    return ", ".join(run.name for run in runs)
