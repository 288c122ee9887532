"""The flow ``mirror``."""

from __future__ import annotations

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig
from backup_core.progress import CancelToken, ProgressSink
from backup_core.results import Outcome
from backup_core.services.application import Application
from backup_core.services.mirroring.places import as_configuration
from backup_core.services.mirroring.result import MirrorResult
from flows._mirror_report import mirror_report
from flows._pages import ends_with_a_page, publish
from flows._parameters import ConfigurationName
from flows._runtime import LONGEST_RUN, RETRIES, only_writer, run_name, run_stage, slug, transient


@task(name="find mirrors", cache_policy=NO_CACHE, persist_result=False)
def find_mirrors(configuration: str | None) -> list[BackupConfig]:
    """The configurations that have mirrors: all of this machine's, or the one named."""

    def work(application: Application, _: CancelToken, progress: ProgressSink) -> list[BackupConfig]:
        if configuration is None:
            return [config for config in application.list_configs(of_this_host=True) if config.mirrors]
        return [application.get_config(configuration)]

    return run_stage(work, title="looking for mirrors")


@task(name="copy", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def copy(config: BackupConfig, place: MirrorConfig, check: bool, dry_run: bool) -> MirrorResult:
    """Copy to one mirror what it lacks. A retry sends nothing again that an earlier attempt has sent."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> MirrorResult:
        (result,) = application.mirroring.run(
            config.name,
            to=place.client,
            path=place.path,
            check=check,
            dry_run=dry_run,
            cancel=cancel,
            progress=progress,
        )
        return result

    return run_stage(work, title=f"mirror of {config.name} at {place.shown}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(config: BackupConfig, results: list[MirrorResult], failures: dict[str, str]) -> None:
    """Keep what happened where people look for it."""
    publish(
        mirror_report(config, results, failures),
        key=f"mirror-{slug(config.name)}",
        description=f"Last copying of {config.name} to its mirrors",
    )


@flow(name="mirror", flow_run_name=run_name("mirror"), timeout_seconds=LONGEST_RUN, persist_result=False)
@ends_with_a_page
def mirror(
    configuration: ConfigurationName | None = None, check: bool = False, dry_run: bool = False
) -> State[list[MirrorResult]]:
    """Bring the mirrors of a configuration up to date, from its first repository and without reading the source.

    What befalls one mirror does not keep the others from being copied to; the run fails when any of them failed.

    Args:
        configuration: Name of the backup configuration. Nothing here: all that have mirrors.
        check: Look first whether a mirror has lost anything it should have, and send that again.
        dry_run: Only say what would be copied.
    """
    logger = get_run_logger()
    results: list[MirrorResult] = []
    failed: dict[str, str] = {}
    for config in find_mirrors(configuration):
        done, failures = _copy_to_all(config, check, dry_run)
        report(config, done, failures)
        results += done
        failed |= {f"{config.name} → {place}": why for place, why in failures.items()}
    for result in results:
        for problem in result.problems:
            logger.warning("%s → %s:%s: %s", result.config_name, result.client, result.path, problem.message)
    bad = [r for r in results if r.left_out or r.outcome is Outcome.FAILED]
    if failed or bad:
        places = [*failed, *(f"{r.config_name} → {r.client}:{r.path}" for r in bad)]
        return Failed(message=f"not everything was copied: {', '.join(places)}; see the run's artifact")
    copied = sum(len(result.copied) for result in results)
    return Completed(message=f"{copied} backups copied to {len(results)} mirrors", data=results)


def _copy_to_all(config: BackupConfig, check: bool, dry_run: bool) -> tuple[list[MirrorResult], dict[str, str]]:
    """What was done, and mirror -> why nothing was."""
    results: list[MirrorResult] = []
    failures: dict[str, str] = {}
    for place in config.mirrors:
        with only_writer(as_configuration(config, place)):
            state = copy(config, place, check, dry_run, return_state=True)
        if state.is_completed():
            results.append(state.result())
        else:
            failures[place.shown] = state.message or state.name or "failed"
    return results, failures
