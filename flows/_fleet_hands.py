"""The fleet's hands on a Prefect server: deployments are started, runs looked at and stopped, workers listened for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from backup_core.clock import Clock
from backup_core.errors import BackupExecutionError
from flows._fleet import MOST_ATTEMPTS, Job, Phase, Seen
from flows._going_on import key_of
from flows._hosts import host_of_tags

LONGEST_OUTAGE = 1800.0
"""Seconds for which a server that does not answer is asked again before the fleet run gives up."""
WITH_PROBLEMS = "Completed with problems"
"""Name of the state of a backup that was made, with problems."""
CONFIGURATIONS = "davault-configuration"
"""Tag of the deployments that belong to configurations."""
_SILENCE_FOR = 60.0
"""Seconds for which what was heard of a worker is believed."""
_BETWEEN = 10.0
_PAGE = 200

_PHASES = {
    StateType.SCHEDULED: Phase.WAITING,
    StateType.PENDING: Phase.WAITING,
    StateType.RUNNING: Phase.WORKING,
    StateType.PAUSED: Phase.WORKING,
    StateType.CANCELLING: Phase.WORKING,
    StateType.COMPLETED: Phase.DONE,
    StateType.FAILED: Phase.FAILED,
    StateType.CRASHED: Phase.CRASHED,
    StateType.CANCELLED: Phase.CANCELLED,
}
_LOG = logging.getLogger("backup_core.fleet")
_Answer = TypeVar("_Answer")


def find_jobs(client: SyncPrefectClient, flow: str) -> list[Job]:
    """The deployments of one flow that belong to machines, by machine and configuration."""
    jobs: list[Job] = []
    offset = 0
    while page := client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[CONFIGURATIONS])),
        limit=_PAGE,
        offset=offset,
    ):
        offset += len(page)
        for deployment in page:
            if host := host_of_tags(deployment.tags):
                configuration = str(deployment.parameters.get("configuration", deployment.name))
                jobs.append(Job(host, configuration, str(deployment.id), deployment.work_pool_name or ""))
    return sorted(jobs, key=lambda job: (job.host, job.configuration))


class PrefectHands:
    """See ``flows._fleet.Hands``. ``fleet`` is the id of the fleet's own run; what is put down carries it as a tag, and
    is put down once however often it is asked for."""

    def __init__(
        self, client: SyncPrefectClient, clock: Clock, *, fleet: str, parameters: Mapping[str, object]
    ) -> None:
        self._client = client
        self._clock = clock
        self._fleet = fleet
        self._parameters = dict(parameters)
        self._silences: dict[str, tuple[float, float | None]] = {}

    def start(self, job: Job) -> str:
        """See the protocol."""
        if not job.deployment:
            raise BackupExecutionError(
                f"the machine {job.host} has no deployments; register them there: "
                f"python -m deployments.register --host {job.host}"
            )
        return self._put_down(job, key=f"fleet-{self._fleet}-{job.deployment}")

    def start_again(self, job: Job, run: str, times: int) -> str:
        """See the protocol. Under this key a worker, too, puts down what goes on after a crash."""
        return self._put_down(job, key=key_of(run, times))

    def successor(self, run: str) -> str:
        """See the protocol."""
        keys = [key_of(run, times) for times in range(1, MOST_ATTEMPTS + 1)]
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
        found = self._read_runs(wanted)
        return str(found[0].id) if found else ""

    def look(self, runs: Sequence[str]) -> Mapping[str, Seen]:
        """See the protocol."""
        seen: dict[str, Seen] = {}
        for first in range(0, len(runs), _PAGE):
            ids = [UUID(run) for run in runs[first : first + _PAGE]]
            page = self._read_runs(FlowRunFilter(id=FlowRunFilterId(any_=ids)))
            seen |= {str(run.id): _seen(run.state) for run in page if run.state is not None}
        return seen

    def stop(self, run: str) -> None:
        """See the protocol."""
        told: State[None] = Cancelling(message="the fleet run does not wait for it any longer")
        self._asked(lambda: self._client.set_flow_run_state(UUID(run), told))

    def silence(self, pool: str) -> float | None:
        """See the protocol. Asked for once a minute at most."""
        now = self._clock.monotonic()
        asked_at, known = self._silences.get(pool, (float("-inf"), None))
        if now - asked_at >= _SILENCE_FOR:
            asked_at, known = now, self._heard(pool)
            self._silences[pool] = (asked_at, known)
        return None if known is None else known + now - asked_at

    def _heard(self, pool: str) -> float | None:
        try:
            workers = self._asked(lambda: self._client.read_workers_for_work_pool(pool))
        except ObjectNotFound:
            return None
        beats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time is not None]
        return max(0.0, (self._clock.now() - max(beats)).total_seconds()) if beats else None

    def _read_runs(self, wanted: FlowRunFilter) -> list[FlowRun]:
        return self._asked(lambda: self._client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE))

    def _put_down(self, job: Job, *, key: str) -> str:
        parameters = {"configuration": job.configuration, **self._parameters}
        try:
            run = self._asked(
                lambda: self._client.create_flow_run_from_deployment(
                    UUID(job.deployment), parameters=parameters, tags=["davault", f"fleet:{self._fleet}"],
                    idempotency_key=key,
                )
            )  # fmt: skip
        except ObjectNotFound as error:
            raise BackupExecutionError(f"the deployment of {job.configuration} on {job.host} is gone") from error
        return str(run.id)

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        """The server's answer; while it is being restarted, or cannot be reached, it is asked again."""
        end = self._clock.monotonic() + LONGEST_OUTAGE
        while True:
            try:
                return question()
            except ObjectNotFound:
                raise
            except Exception as error:
                refused = isinstance(error, PrefectHTTPStatusError) and error.response.status_code < 500
                if refused or self._clock.monotonic() >= end:
                    raise
                _LOG.warning("the Prefect server does not answer (%s); asking again", type(error).__name__)
            self._clock.sleep(_BETWEEN)


def _seen(state: State[object]) -> Seen:
    return Seen(_PHASES[state.type], state.message or "", problems=state.name == WITH_PROBLEMS)
