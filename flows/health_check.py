"""The flow ``health-check``."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from backup_core.cli import units
from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.application import Application
from backup_core.services.findings import FindingLevel
from backup_core.services.health.records import HealthCheck, HealthReport
from flows._artifacts import escaped
from flows._pages import ends_with_a_page, publish
from flows._parameters import ConfigurationName
from flows._runtime import RETRIES, run_name, run_stage, slug, subject_of, transient

LONGEST = 3600
"""Seconds: each server is asked a few things, and waited for half a minute at most."""

_SHOWN = {FindingLevel.OK: "ok", FindingLevel.WARNING: "**warning**", FindingLevel.ERROR: "**ERROR**"}
_LOUDEST_FIRST = (FindingLevel.ERROR, FindingLevel.WARNING, FindingLevel.OK)

Hours = Annotated[float, Field(gt=0, le=10 * 365 * 24)]


@task(name="look", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def look(configuration: str | None, rpo_hours: float | None) -> HealthReport:
    """Ask every server, and look at what is known."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> HealthReport:
        names = () if configuration is None else (configuration,)
        rpo = None if rpo_hours is None else rpo_hours * 3600
        return application.health.check(names, rpo=rpo, cancel=cancel, progress=progress)

    return run_stage(work, title=f"health of {subject_of(configuration)}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(subject: str, found: HealthReport) -> None:
    """Keep what was found where people look for it."""
    publish(health_report(found), key=f"health-{slug(subject)}", description=f"Health of {subject}")


def health_report(found: HealthReport) -> str:
    """A markdown page, the worst first."""
    if found.healthy:
        headline = f"All is well, with {len(found.warnings)} warnings" if found.warnings else "All is well"
    else:
        headline = f"{len(found.errors)} things are wrong"
    ordered = sorted(found.checks, key=lambda check: _LOUDEST_FIRST.index(check.level))
    rows = ["| What | Check | Result | Found | What to do |", "|---|---|---|---|---|", *map(_row, ordered)]
    looked = f"Looked at {len(found.checks)} things on {units.moment(found.at)}, in {units.duration(found.seconds)}."
    return "\n".join([f"# {headline}", "", *rows, "", looked])


def _row(check: HealthCheck) -> str:
    cells = (escaped(check.subject), check.check, _SHOWN[check.level], escaped(check.message), escaped(check.advice))
    return f"| {' | '.join(cells)} |"


@flow(name="health-check", flow_run_name=run_name("health"), timeout_seconds=LONGEST, persist_result=False)
@ends_with_a_page
def health_check(configuration: ConfigurationName | None = None, rpo_hours: Hours | None = None) -> State[HealthReport]:
    """Look whether all is well: servers, keys, indexes, locks, room, and the age of the newest backups and copies.

    The run fails when anything is wrong, so that an alert on failed runs tells somebody.

    Args:
        configuration: Look at this configuration only.
        rpo_hours: How old a newest backup may be. Nothing here: as recovery plans say, or 48 hours.
    """
    found = look(configuration, rpo_hours)
    report(subject_of(configuration), found)
    logger = get_run_logger()
    for check in found.warnings:
        logger.warning("%s, %s: %s; %s", check.subject, check.check, check.message, check.advice)
    for check in found.errors:
        logger.error("%s, %s: %s; %s", check.subject, check.check, check.message, check.advice)
    if found.errors:
        subjects = ", ".join(dict.fromkeys(check.subject for check in found.errors))
        return Failed(message=f"{len(found.errors)} things are wrong: {subjects}; see the run's artifact")
    return Completed(message=f"all is well, {len(found.warnings)} warnings", data=found)
