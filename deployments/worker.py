"""A worker that can be stopped and may die without a run being lost.

    python -m deployments.worker [--pool NAME] [--queue NAME]... [--name NAME] [--limit N] [--patience SECONDS]

It is Prefect's own worker for processes, which kills the runs at work when it gets SIGTERM (as from ``systemctl stop``)
and leaves them "Running" for ever. This one takes no new runs then and waits for those at work. Runs that are at work
after the patience are stopped at a safe point, with their locks given back and everything they have stored kept; those
that only make copies are put down to go on with the next worker. A second signal ends the patience.

When it starts it looks for runs that a worker of the same name has left: those whose processes are gone (a crash, a
power cut) become Crashed, and go on if they only make copies; those whose processes live are left to end by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments import POOL, worker_name
from deployments.unfinished import end_stages, go_on, named, runs_of, take_up

PATIENCE = 60.0
"""Seconds that runs get to end by themselves."""
LONGEST_STOP = 60.0
"""Seconds after which a run that was told to stop is given up: Prefect kills it after 30."""
RUNS = 4
"""At the same time."""
_POLL = 0.5
_ASK_AGAIN = 5.0
"""Seconds between two questions whether a server is there."""

_logger = logging.getLogger("deployments.worker")  # also when this is the program itself


class DrainingWorker(ProcessWorker):
    """Prefect's worker for processes, which can be told to take no more runs."""

    draining = False

    @staticmethod
    def __dispatch_key__() -> str:
        # Pools stay of the type "process", and their worker Prefect's own, for whoever asks Prefect for it.
        return "davault-process"

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take runs that are due, unless draining."""
        return [] if self.draining else await super().get_and_submit_flow_runs()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: Any = None,
    ) -> ProcessWorkerResult:
        """Carry a run out. One that crashed is put down once more, if it is of that kind."""
        result = await super().run(flow_run, configuration, task_status)
        await asyncio.to_thread(_put_down_again, flow_run.id)
        return result

    @property
    def busy(self) -> bool:
        """Whether any run is at work."""
        return bool(self.limiter.borrowed_tokens)


def _put_down_again(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        if run.state is None or not run.state.is_crashed():
            return
        end_stages(client, run)
        if go_on(client, run) is not None:
            _logger.warning("%s has crashed; its work goes on in another run", run.name)


async def serve(worker: DrainingWorker, pool: str, *, patience: float) -> list[FlowRun]:
    """Work until SIGTERM or SIGINT, then drain; the runs that did not stop."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    if not await _begin(worker.name, pool, signals):
        return []
    working = asyncio.create_task(worker.start(printer=_logger.info))
    stop = asyncio.create_task(signals.get())
    await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        stop.cancel()
        working.result()
        return []
    worker.draining = True
    _logger.info("taking no more runs; those at work get %.0f seconds to end", patience)
    await _idle(worker, patience, hurry=asyncio.create_task(signals.get()))
    left = await _stop_runs(worker, pool) if worker.busy else []
    working.cancel()
    await asyncio.wait({working})
    return left


async def _begin(name: str, pool: str, signals: asyncio.Queue[int]) -> bool:
    """Take up what an earlier worker left, once the server answers; False when a signal came before that."""
    with get_client(sync_client=True) as client:
        while (error := await asyncio.to_thread(client.api_healthcheck)) is not None:
            _logger.warning("the Prefect server does not answer (%s); asking again", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(signals.get(), _ASK_AGAIN)
                return False
        await asyncio.to_thread(take_up, client, pool, name)
    return True


async def _idle(worker: DrainingWorker, most: float, *, hurry: asyncio.Task[int] | None = None) -> None:
    """Wait until no run is at work, ``most`` seconds at most and not beyond ``hurry``."""
    end = asyncio.get_running_loop().time() + most
    while worker.busy and asyncio.get_running_loop().time() < end and not (hurry is not None and hurry.done()):
        await asyncio.sleep(_POLL)
    if hurry is not None:
        hurry.cancel()


async def _stop_runs(worker: DrainingWorker, pool: str) -> list[FlowRun]:
    """Have the runs at work stop at a safe point, and put down those that may go on; those that did not stop."""

    def ask() -> None:
        with get_client(sync_client=True) as client:
            late = runs_of(client, pool, worker.name)
            _logger.info("stopping %s", named(late))
            for run in late:
                client.set_flow_run_state(run.id, Cancelling(message="the worker is being stopped"))
                go_on(client, run)

    def left() -> list[FlowRun]:
        with get_client(sync_client=True) as client:
            return runs_of(client, pool, worker.name)

    await asyncio.to_thread(ask)
    await _idle(worker, LONGEST_STOP)
    return await asyncio.to_thread(left)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until told to stop; returns the exit code, 3 when a run did not stop."""
    parser = argparse.ArgumentParser(prog="python -m deployments.worker", description=__doc__.splitlines()[0])
    parser.add_argument("--pool", default=POOL)
    parser.add_argument("--queue", action="append", help="take only runs of this work queue; repeatable")
    parser.add_argument("--name", default=worker_name(), help="one of its own for each worker")
    parser.add_argument("--limit", type=int, default=RUNS, help="runs at the same time")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("deployments").setLevel(logging.INFO)
    worker = DrainingWorker(
        work_pool_name=options.pool, work_queues=options.queue, name=options.name, limit=options.limit
    )
    left = asyncio.run(serve(worker, options.pool, patience=options.patience))
    if left:
        _logger.error("did not stop: %s", named(left))
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
