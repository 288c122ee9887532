"""The flows ``full-backup`` and ``incremental-backup``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backup_core.config.models import BackupConfig
from backup_core.progress import CancelToken, ProgressSink
from backup_core.results import BackupSummary, Outcome
from backup_core.services.application import Application, open_application
from flows._artifacts import backup_report
from flows._pages import ends_with_a_page, overview, publish
from flows._parameters import BackupKind, ConfigurationName
from flows._runtime import LONGEST_RUN, RETRIES, only_writer, run_name, run_stage, slug, transient


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare(configuration: str) -> BackupConfig:
    """Find the configuration, before anything is waited for."""
    with open_application() as application:
        return application.get_config(configuration)


@task(name="list configurations", cache_policy=NO_CACHE, persist_result=False)
def configurations() -> list[str]:
    """Names of all configurations of this machine."""
    with open_application() as application:
        return [config.name for config in application.list_configs(of_this_host=True)]


@task(name="store", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def store(config: BackupConfig, kind: BackupKind, dry_run: bool) -> BackupSummary:
    """Store what changed. A retry reuses all that an earlier attempt has uploaded."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> BackupSummary:
        return application.backup(config.name, kind=kind, dry_run=dry_run, cancel=cancel, progress=progress)

    return run_stage(work, title=f"{kind} backup of {config.name}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(config: BackupConfig, summary: BackupSummary) -> None:
    """Keep what happened where people look for it."""
    publish(
        backup_report(config, summary), key=f"backup-{slug(config.name)}", description=f"Last backup of {config.name}"
    )


def _back_up(configuration: str, kind: BackupKind, dry_run: bool) -> State[BackupSummary]:
    logger = get_run_logger()
    config = prepare(configuration)
    with only_writer(config):
        summary = store(config, kind, dry_run)
    report(config, summary)
    for note in summary.notes:
        logger.info(note)
    for problem in summary.problems:
        logger.warning(problem.message)
    message = f"{summary.backup_id}: {summary.files} files, {summary.stored_size} bytes stored"
    if summary.outcome is Outcome.COMPLETED:
        return Completed(message=message, data=summary)
    name = "Completed with problems"
    return Completed(name=name, message=f"{message}, {len(summary.problems)} problems", data=summary)


def _back_up_all(one: Callable[..., State[Any]], dry_run: bool) -> State[list[BackupSummary]]:
    """One run for each configuration, one after the other; what befalls one does not keep the next from its backup."""
    states = {name: one(name, dry_run=dry_run, return_state=True) for name in configurations()}
    publish(overview("configurations backed up", states), key="backup-all", description="Last backup of everything")
    failed = [name for name, state in states.items() if not state.is_completed()]
    if failed:
        return Failed(message=f"{len(failed)} of {len(states)} configurations were not backed up: {', '.join(failed)}")
    return Completed(message=f"{len(states)} configurations backed up", data=[s.result() for s in states.values()])


@flow(name="full-backup", flow_run_name=run_name("full"), timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def full_backup(
    configuration: ConfigurationName | None = None, dry_run: bool = False
) -> State[BackupSummary] | State[list[BackupSummary]]:
    """Read every file of a configuration again, prove that all data is on the server, and store what is not.

    Args:
        configuration: Name of the backup configuration. Nothing here: all of them, one after the other.
        dry_run: Only say what would be stored.
    """
    if configuration is None:
        return _back_up_all(full_backup, dry_run)
    return _back_up(configuration, "full", dry_run)


@flow(
    name="incremental-backup", flow_run_name=run_name("incremental"), timeout_seconds=LONGEST_RUN, persist_result=False
)
@ends_with_a_page
def incremental_backup(
    configuration: ConfigurationName | None = None, dry_run: bool = False
) -> State[BackupSummary] | State[list[BackupSummary]]:
    """Store what changed since the last backup of a configuration. Unchanged files are not opened.

    Args:
        configuration: Name of the backup configuration. Nothing here: all of them, one after the other.
        dry_run: Only say what would be stored.
    """
    if configuration is None:
        return _back_up_all(incremental_backup, dry_run)
    return _back_up(configuration, "incremental", dry_run)
