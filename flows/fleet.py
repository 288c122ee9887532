"""The flow ``fleet-backup``: all machines at once, from one place, with one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from prefect import flow, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.utilities.urls import url_for
from pydantic import Field

from backup_core.clock import Clock, SystemClock
from backup_core.services.application import open_application
from backup_core.services.listings import RunRecord
from flows._fleet import Ended, Fleet, Job, Limits
from flows._fleet_hands import PrefectHands, find_jobs
from flows._fleet_report import fleet_report
from flows._pages import ends_with_a_page, publish
from flows._parameters import BackupKind, HostLabel
from flows._runtime import LONGEST_RUN

SILENCE = 600.0
"""Seconds: a worker says every half minute that it lives. One on a network that comes and goes gets time."""
_RUNS_LOOKED_AT = 5

Newest = Mapping[str, int]
"""The newest run of each configuration before the fleet began."""


def _name() -> str:
    due: datetime = flow_run.get_scheduled_start_time()
    hosts = flow_run.get_parameters().get("hosts")
    return f"fleet {', '.join(hosts[:3]) if hosts else 'all machines'} {due.astimezone():%Y-%m-%d %H:%M}"


def the_clock() -> Clock:
    """Time as the flow sees it."""
    return SystemClock()


@task(name="find machines", cache_policy=NO_CACHE, persist_result=False)
def find(hosts: Sequence[str] | None, kind: BackupKind) -> list[Job]:
    """What is to be done where; a machine that was asked for and has nothing registered is among it."""
    with get_client(sync_client=True) as client:
        jobs = find_jobs(client, f"{kind}-backup")
    if hosts is None:
        return jobs
    wanted = list(dict.fromkeys(host.lower() for host in hosts))
    known = {job.host for job in jobs}
    return [job for job in jobs if job.host in wanted] + [
        Job(host, "-", deployment="", pool="-") for host in wanted if host not in known
    ]


@task(name="note what there is", cache_policy=NO_CACHE, persist_result=False)
def newest_runs(jobs: Sequence[Job]) -> dict[str, int]:
    """The numbers of the newest runs in the catalogue, so that the new ones can be told from them."""
    with open_application() as application:
        found = {job.configuration: application.runs(job.configuration, limit=1) for job in jobs}
    return {name: runs[0].run_id for name, runs in found.items() if runs}


@task(name="follow", cache_policy=NO_CACHE, persist_result=False)
def follow(jobs: Sequence[Job], limits: Limits, dry_run: bool) -> list[Ended]:
    """Start the machines' own deployments and wait for their ends."""
    clock = the_clock()
    with get_client(sync_client=True) as client:
        hands = PrefectHands(client, clock, fleet=str(flow_run.get_id()), parameters={"dry_run": dry_run})
        return Fleet(hands, limits, clock).run(jobs)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(ended: Sequence[Ended], before: Newest, seconds: float) -> None:
    """One page for all machines."""
    records: dict[Job, RunRecord] = {}
    with open_application() as application:
        for one in ended:
            runs = application.runs(one.job.configuration, limit=_RUNS_LOOKED_AT)
            new = [r for r in runs if r.kind == "backup" and r.run_id > before.get(one.job.configuration, 0)]
            if new:
                records[one.job] = new[0]
    page = fleet_report(ended, records, seconds=seconds, link=_link)
    publish(page, key="fleet-backup", description="The last backup of all machines")


def _link(run: str) -> str | None:
    return url_for("flow-run", run)


@flow(name="fleet-backup", flow_run_name=_name, timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def fleet_backup(
    hosts: Annotated[list[HostLabel], Field(min_length=1, max_length=10_000)] | None = None,
    kind: BackupKind = "incremental",
    at_once: Annotated[int, Field(ge=1, le=1000)] = 8,
    start_within_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 10,
    longest_hours: Annotated[float, Field(gt=0, le=7 * 24)] = 24,
    *,
    dry_run: bool = False,
) -> State[list[Ended]]:
    """Have the machines' own workers back up all that belongs to them, and report on each machine.

    A machine that fails does not keep the others from their backups, and the run fails at its end when any did.

    Args:
        hosts: Labels of the machines. Nothing here: all that have deployments.
        kind: full reads every file again, incremental only what changed.
        at_once: Machines that work at the same time; each makes its backups one after the other.
        start_within_minutes: A machine that has not begun by then is reported, and its run withdrawn.
        longest_hours: A backup that takes longer is reported as still at work, and goes on.
        dry_run: Only say what would be stored.
    """
    clock = the_clock()
    begun = clock.monotonic()
    jobs = find(hosts, kind)
    if not jobs:
        return Failed(
            message="no machine has deployments: give configurations a machine (davault config edit NAME --host H), "
            "and register them (python -m deployments.register)"
        )
    before = newest_runs(jobs)
    limits = Limits(at_once, start_within_minutes * 60, SILENCE, longest_hours * 3600)
    ended = follow(jobs, limits, dry_run)
    report(ended, before, clock.monotonic() - begun)
    wrong = sorted({one.job.host for one in ended if not one.result.good})
    total = len({job.host for job in jobs})
    if wrong:
        return Failed(message=f"{len(wrong)} of {total} machines are not backed up: {', '.join(wrong)}")
    return Completed(message=f"{total} machines backed up, {len(ended)} backups", data=ended)
