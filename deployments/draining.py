"""Brings the runs of a work pool to a good end, so that its worker can be stopped: a worker that is stopped while runs
are at work kills them, and Prefect goes on to call them running.

    python -m deployments.draining [--pool NAME] [--patience SECONDS] [--note FILE]   no new runs; those at work end
    python -m deployments.draining --open [--note FILE]                               new runs again

The pool is paused first, which leaves what is due waiting. Runs still at work after the patience are cancelled - they
stop at a safe point, give back their locks and leave all they have stored - and those that only make copies (backups,
mirrors) are put down once more, to go on when the pool is open again. SIGTERM ends the patience. The note is a file
that remembers that it was draining that paused the pool: a pool that a person has paused stays so.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from backup_core.cli import units
from backup_core.clock import Clock, SystemClock
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from deployments import POOL
from deployments.unfinished import AT_WORK, go_on

PATIENCE = 60.0
"""Seconds that runs get to end by themselves."""
LONGEST_CANCELLING = 60.0
"""Seconds after which a cancelled run is given up; Prefect kills it after 30."""
_POLL = 1.0
_WAITING = (StateType.PAUSED,)
_PAGE = 200


class Say(Protocol):
    """Somebody to tell what happens, in lines."""

    def __call__(self, line: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Drained:
    """How it ended, in names of runs."""

    cancelled: tuple[str, ...]
    put_down_again: tuple[str, ...]
    left: tuple[str, ...]
    """Did not stop in time: their processes end with the worker."""


def close_pool(client: SyncPrefectClient, pool: str) -> bool:
    """Let no run begin; False when none could already."""
    return _set_paused(client, pool, paused=True)


def open_pool(client: SyncPrefectClient, pool: str) -> bool:
    """Let runs begin again; False when they could already."""
    return _set_paused(client, pool, paused=False)


def _set_paused(client: SyncPrefectClient, pool: str, *, paused: bool) -> bool:
    if client.read_work_pool(pool).is_paused == paused:
        return False
    client.update_work_pool(pool, WorkPoolUpdate(is_paused=paused))
    return True


def drain(
    client: SyncPrefectClient, pool: str, *, patience: float, hurry: CancelToken, clock: Clock, say: Say
) -> Drained:
    """Have every run of a closed pool end: by itself within ``patience`` seconds, unless ``hurry`` is set, or else
    cancelled."""
    end = clock.monotonic() + patience
    clock.sleep(_POLL)  # what the worker took just before shows itself
    if working := _runs(client, pool, AT_WORK):
        say(f"waiting up to {units.duration(patience)} for {_named(working)}")
    while _runs(client, pool, AT_WORK) and clock.monotonic() < end and not hurry.cancelled:
        with suppress(Cancelled):
            clock.sleep(_POLL, hurry)
    late = _runs(client, pool, (*AT_WORK, *_WAITING))
    if not late:
        return Drained((), (), ())
    say(f"cancelling {_named(late)}")
    for run in late:
        client.set_flow_run_state(run.id, Cancelling(message="the worker is being stopped"))
    again = tuple(run.name for run in late if go_on(client, run) is not None)
    left = _wait_for_the_end(client, pool, clock)
    stopped = tuple(run.name for run in late if run.id not in {one.id for one in left})
    return Drained(stopped, again, tuple(run.name for run in left))


def _wait_for_the_end(client: SyncPrefectClient, pool: str, clock: Clock) -> list[FlowRun]:
    end = clock.monotonic() + LONGEST_CANCELLING
    while (left := _runs(client, pool, (*AT_WORK, *_WAITING))) and clock.monotonic() < end:
        clock.sleep(_POLL)
    return left


def _runs(client: SyncPrefectClient, pool: str, states: Iterable[StateType]) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))))
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    return client.read_flow_runs(flow_run_filter=wanted, work_pool_filter=of_pool, limit=_PAGE)


def _named(runs: Sequence[FlowRun]) -> str:
    names = [units.printable(run.name) for run in runs]
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Drain, or open again; returns the exit code, 3 when a run did not stop."""
    parser = argparse.ArgumentParser(prog="python -m deployments.draining", description=__doc__.splitlines()[0])
    parser.add_argument("--pool", default=POOL)
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS")
    parser.add_argument("--open", action="store_true", help="let runs begin again")
    parser.add_argument("--note", type=Path, metavar="FILE", help="open only what draining has closed")
    options = parser.parse_args(arguments)
    hurry = CancelToken()
    signal.signal(signal.SIGTERM, lambda *_: hurry.cancel("somebody cannot wait"))

    with get_client(sync_client=True) as client:
        if options.open:
            _open_again(client, options.pool, options.note)
            return 0
        if close_pool(client, options.pool) and options.note is not None:
            options.note.touch()
        done = drain(client, options.pool, patience=options.patience, hurry=hurry, clock=SystemClock(), say=say)
    for name in done.put_down_again:
        say(f"{units.printable(name)} goes on when runs may begin again")
    for name in done.left:
        say(f"{units.printable(name)} did not stop")
    return 3 if done.left else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _open_again(client: SyncPrefectClient, pool: str, note: Path | None) -> None:
    if note is not None and not note.exists():
        return
    if open_pool(client, pool):
        say("runs may begin again")
    if note is not None:
        note.unlink()


if __name__ == "__main__":
    sys.exit(main())
