"""The flow ``restore``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from backup_core.cli import units
from backup_core.errors import RestoreError
from backup_core.progress import CancelToken, ProgressSink
from backup_core.results import Outcome, RestoreSummary
from backup_core.services.application import Application
from backup_core.services.recovery_records import RestorePreview
from flows._artifacts import preview_report, restore_report
from flows._pages import ends_with_a_page, publish
from flows._parameters import BackupId, ConfigurationName, Directory, Overwrite, Pattern
from flows._runtime import LONGEST_RUN, RETRIES, run_name, run_stage, slug, transient


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored, where to and how; the parameters of the flow as one value."""

    configuration: str | None
    target: str
    backup_id: str | None
    at: datetime | None
    patterns: tuple[str, ...]
    overwrite: Overwrite

    @property
    def subject(self) -> str:
        """What is restored, for people."""
        return self.backup_id or self.configuration or "?"


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def plan(wish: Wish) -> RestorePreview:
    """Find the backup, and what of it is missing at the target."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> RestorePreview:
        return application.plan_restore(
            wish.configuration,
            target=wish.target,
            backup_id=wish.backup_id,
            at=wish.at,
            patterns=wish.patterns,
            overwrite=wish.overwrite,
            cancel=cancel,
            progress=progress,
        )

    return run_stage(work, title=f"plan to restore {wish.subject}")


@task(name="write", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def write(wish: Wish, backup_id: str, verify: bool) -> RestoreSummary:
    """Restore exactly the backup that was planned. A retry keeps what is already right at the target."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> RestoreSummary:
        return application.restore(
            target=wish.target,
            backup_id=backup_id,
            patterns=wish.patterns,
            overwrite=wish.overwrite,
            verify=verify,
            cancel=cancel,
            progress=progress,
        )

    return run_stage(work, title=f"restore of {wish.subject}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(wish: Wish, summary: RestoreSummary) -> None:
    """Keep what happened where people look for it."""
    publish(
        restore_report(wish.subject, summary),
        key=f"restore-{slug(wish.subject)}",
        description=f"Last restore of {wish.subject}",
    )


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report_plan(wish: Wish, planned: RestorePreview) -> None:
    """Keep what would happen where people look for it."""
    publish(
        preview_report(wish.subject, planned),
        key=f"restore-plan-{slug(wish.subject)}",
        description=f"What restoring {wish.subject} would do",
    )


@flow(name="restore", flow_run_name=run_name("restore"), timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def restore(
    *,
    target: Directory,
    configuration: ConfigurationName | None = None,
    backup_id: BackupId | None = None,
    at: datetime | None = None,
    patterns: Annotated[list[Pattern], Field(max_length=1000)] | None = None,
    overwrite: Overwrite = "never",
    verify: bool = True,
    dry_run: bool = False,
) -> State[RestoreSummary | RestorePreview]:
    """Bring files back: the newest backup of a configuration, the one at a moment, or a named one; all of it or a part.

    Args:
        target: Directory of this machine to restore into.
        configuration: Restore a backup of this configuration.
        backup_id: Restore this backup. Needed when no configuration is given.
        at: Restore the newest backup made at or before this moment.
        patterns: Restore only what matches one of these (gitignore style). Empty restores everything.
        overwrite: What becomes of files that are already at the target and differ; by default they stay as they are.
        verify: Read every file back from disk and compare it with the backup.
        dry_run: Only say what would be written.
    """
    wish = Wish(configuration, target, backup_id, at, tuple(patterns or ()), overwrite)
    if configuration is None and backup_id is None:
        raise RestoreError("say what to restore: a configuration or a backup_id")
    preview = plan(wish)
    get_run_logger().info(
        "%s: %d entries to create, %d to replace, %d to keep, %s to write into %s",
        preview.backup_id, preview.creates, preview.replaces, preview.keeps,
        units.size(preview.bytes_to_write), preview.target,
    )  # fmt: skip
    if dry_run:
        report_plan(wish, preview)
        return Completed(
            message=f"dry run: {preview.creates + preview.replaces} entries would be written", data=preview
        )
    summary = write(wish, preview.backup_id, verify)
    report(wish, summary)
    message = f"{preview.backup_id}: {summary.files_restored} entries restored into {summary.target}"
    if summary.outcome is Outcome.COMPLETED:
        return Completed(message=message, data=summary)
    name = "Completed with problems"
    return Completed(name=name, message=f"{message}, {len(summary.failed)} of them failed", data=summary)
