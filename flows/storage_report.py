"""The flow ``storage-report``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from pydantic import Field

from backup_core.config.sizes import parse_size
from backup_core.progress import CancelToken, ProgressSink
from backup_core.reports.report import Report
from backup_core.results import Problem
from backup_core.services.application import Application
from flows._pages import ends_with_a_page, publish
from flows._runtime import RETRIES, run_name, run_stage, slug, transient
from flows._trend import configuration_page, overall_page

KEY = "storage-trend"
"""Of the artifact on everything; each configuration's own is ``storage-trend-NAME``."""
LONGEST = 3600
"""Seconds: it reads the catalogue and asks each server once."""
_LONG_AGO = datetime.fromtimestamp(0, UTC)

Budget = Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*[KMGTP]?i?B?$", examples=["500G"])]


@task(name="measure", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def measure() -> list[Problem]:
    """Ask the servers how much room is left."""

    def work(application: Application, _: CancelToken, progress: ProgressSink) -> list[Problem]:
        return application.reporting.measure_space()

    return run_stage(work, title="asking the servers for their room")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def work_out(budget: str | None) -> Report:
    """Work out the figures and keep them where people look for them."""

    def work(application: Application, _: CancelToken, progress: ProgressSink) -> Report:
        return application.reporting.report(budget_bytes=None if budget is None else parse_size(budget))

    report = run_stage(work, title="storage report")
    publish(overall_page(report), key=KEY, description="Storage of all configurations over time")
    for figures in report.configurations:
        publish(
            configuration_page(report, figures),
            key=f"{KEY}-{slug(figures.name)}",
            description=f"Storage of {figures.name} over time",
        )
    return report


def newest_page(ui: str) -> str:
    """Address of the newest report on everything in the Prefect UI at ``ui``, or of the list when there is none."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[KEY]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    newest = max(found, key=lambda artifact: artifact.created or _LONG_AGO, default=None)
    return f"{ui}/artifacts/key/{KEY}" if newest is None else f"{ui}/artifacts/artifact/{newest.id}"


@flow(name="storage-report", flow_run_name=run_name("storage report"), timeout_seconds=LONGEST, persist_result=False)
@ends_with_a_page
def storage_report(ask_servers: bool = True, budget: Budget | None = None) -> Report:
    """Report what all backups take, how that grows, and what asks for attention, as storage-trend artifacts.

    Args:
        ask_servers: Ask every server how much room is left first; one that does not answer is passed over.
        budget: What all backups together may take, such as 500G, to see when that is reached.
    """
    logger = get_run_logger()
    for problem in measure() if ask_servers else ():
        logger.warning("%s", problem.message)
    report = work_out(budget)
    for one in report.attention:
        logger.warning("%s: %s; %s", one.subject, one.message, one.advice)
    logger.info("%d configurations, %d bytes stored", len(report.configurations), report.overall.stored_bytes)
    return report
