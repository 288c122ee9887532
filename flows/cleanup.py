"""The flow ``cleanup-backups``: forget what no rule keeps, and give back the room."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from backup_core.config.models import BackupConfig
from backup_core.errors import CleanupHeld
from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.application import Application, open_application
from backup_core.services.retention.policy import KeepRules
from backup_core.services.retention.pruning import PruneLimits
from backup_core.services.retention.records import CleanupResult
from flows._pages import ends_with_a_page, overview, publish
from flows._parameters import ConfigurationName, Unused
from flows._retention_report import cleanup_report
from flows._runtime import LONGEST_RUN, RETRIES, only_writer, run_name, run_stage, slug, transient
from flows.backup import prepare


@task(name="list configurations with rules", cache_policy=NO_CACHE, persist_result=False)
def with_rules() -> list[str]:
    """Names of this machine's configurations that say what to keep; of the others everything stays."""
    with open_application() as application:
        return [config.name for config in application.list_configs(of_this_host=True) if KeepRules.of(config).given]


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def plan(config: BackupConfig, limits: PruneLimits | None) -> CleanupResult:
    """Decide on every backup; nothing is changed."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> CleanupResult:
        return application.retention.plan(config.name, prune=limits, cancel=cancel, progress=progress)

    return run_stage(work, title=f"plan of the cleanup of {config.name}")


@task(name="forget", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def forget(config: BackupConfig, limits: PruneLimits | None) -> CleanupResult:
    """Forget what no rule keeps, and prune. A retry decides anew, by what is there then."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> CleanupResult:
        return application.retention.cleanup(config.name, prune=limits, cancel=cancel, progress=progress)

    return run_stage(work, title=f"cleanup of {config.name}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(result: CleanupResult) -> None:
    """Keep what was decided where people look for it."""
    publish(
        cleanup_report(result),
        key=f"cleanup-{slug(result.config_name)}",
        description=f"Last cleanup of {result.config_name}",
    )


def _clean_up(configuration: str, *, dry_run: bool, limits: PruneLimits | None) -> State[CleanupResult]:
    config = prepare(configuration)
    if dry_run:
        planned = plan(config, limits)
        report(planned)
        return Completed(message=f"dry run: {len(planned.surplus)} backups would be forgotten", data=planned)
    try:
        with only_writer(config):
            result = forget(config, limits)
    except CleanupHeld as error:
        report(plan(config, None))
        return Failed(message=str(error))
    report(result)
    freed = f", {result.pruned.freed_bytes} bytes given back" if result.pruned is not None else ""
    return Completed(message=f"{len(result.forgotten)} backups forgotten{freed}", data=result)


@flow(name="cleanup-backups", flow_run_name=run_name("cleanup"), timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def cleanup_backups(
    configuration: ConfigurationName | None = None,
    dry_run: bool = True,
    prune: bool = True,
    max_unused: Unused = "5%",
    max_requests: Annotated[int, Field(ge=1)] | None = None,
) -> State[CleanupResult] | State[list[CleanupResult]]:
    """Forget the backups that no rule of their configuration keeps, and give back their room.

    Args:
        configuration: Name of the backup configuration. Nothing here: all that say what to keep, one after the other.
        dry_run: Only decide and report; the report names every backup with all reasons.
        prune: Also remove the data that no backup needs any more.
        max_unused: Unneeded data that may stay, to save copying: 5% of what stays, 500M, 0 or unlimited.
        max_requests: Most requests for copying, index and deleting; the rest waits for the next run.
    """
    limits = PruneLimits(max_unused=max_unused, max_requests=max_requests) if prune else None
    if configuration is not None:
        return _clean_up(configuration, dry_run=dry_run, limits=limits)
    options = {"dry_run": dry_run, "prune": prune, "max_unused": max_unused, "max_requests": max_requests}
    states = {name: cleanup_backups(name, **options, return_state=True) for name in with_rules()}
    publish(overview("configurations cleaned up", states), key="cleanup-all", description="Last cleanup of everything")
    failed = {name: state for name, state in states.items() if not state.is_completed()}
    for name, state in failed.items():
        get_run_logger().error("%s: %s", name, state.message)
    if failed:
        return Failed(message=f"{len(failed)} of {len(states)} configurations were not cleaned up: {', '.join(failed)}")
    return Completed(
        message=f"{len(states)} configurations cleaned up", data=[state.result() for state in states.values()]
    )
