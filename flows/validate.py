"""The flow ``validate-backups``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.application import Application
from backup_core.services.findings import BackupValidationResult
from flows._artifacts import validation_report
from flows._pages import ends_with_a_page, publish
from flows._parameters import BackupId, ConfigurationName, Depth, Subset
from flows._runtime import LONGEST_RUN, RETRIES, run_name, run_stage, slug, subject_of, transient


@task(name="check", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def check(
    configuration: str | None,
    backup_ids: Sequence[str],
    depth: Depth,
    subset: str | None,
    live_source: bool,
    *,
    mirror: str | None = None,
) -> list[BackupValidationResult]:
    """Look at what lies on the server."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> list[BackupValidationResult]:
        return application.validate(
            backup_ids,
            config_name=configuration,
            depth=depth,
            subset=subset,
            live_source=live_source,
            mirror=mirror,
            cancel=cancel,
            progress=progress,
        )

    return run_stage(work, title=f"validation of {subject_of(configuration, backup_ids)}, depth {depth}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(subject: str, results: Sequence[BackupValidationResult]) -> None:
    """Keep what was found where people look for it."""
    publish(validation_report(results), key=f"validation-{slug(subject)}", description=f"Last validation of {subject}")


@flow(name="validate-backups", flow_run_name=run_name("validate"), timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def validate_backups(
    configuration: ConfigurationName | None = None,
    backup_ids: Annotated[list[BackupId], Field(max_length=1000)] | None = None,
    depth: Depth = "quick",
    subset: Subset | None = None,
    live_source: bool = False,
    *,
    mirror: Annotated[str, Field(min_length=1, max_length=1000)] | None = None,
) -> State[list[BackupValidationResult]]:
    """Check that backups are whole. The run fails when one of them is not, and its report names every damaged file.

    Args:
        configuration: Check all backups of this configuration. Nothing here and in backup_ids: of all of them.
        backup_ids: Check only these backups.
        depth: quick looks whether everything is there, data downloads and verifies it, restore restores and compares.
        subset: At depth data, read only a part: 1/7 (the first of seven, so that a week covers all), 5% or 500M.
        live_source: At depth restore, compare with the files on this machine as well.
        mirror: Check the copies in this mirror of the configuration: its client, or client:/folder.
    """
    results = check(configuration, backup_ids or (), depth, subset, live_source, mirror=mirror)
    subject = subject_of(configuration, backup_ids or ())
    report(subject if mirror is None else f"{subject} at {mirror}", results)
    damaged = [result for result in results if not result.is_valid]
    for result in damaged:
        get_run_logger().error("%s: %s", result.backup_id, "; ".join(result.errors) or "damaged")
    if damaged:
        return Failed(message=f"{len(damaged)} of {len(results)} backups are damaged; see the run's artifact")
    return Completed(message=f"{len(results)} backups are whole", data=results)
