"""Registers what the flows need on a Prefect server; running it again brings the server up to date.

    python -m deployments.register              pool, kinds of secret blocks, limits, and a deployment for each
                                                configuration of the catalogue
    python -m deployments.register --host [H]   the same for the machine with the label H (default: this one) alone
    python -m deployments.register --pool-only  the pool and the kinds of blocks alone, before prefect.yaml is deployed
    python -m deployments.register --choices    the names that the run forms of prefect.yaml's deployments offer, after
                                                it, and again whenever a configuration or recovery plan is added

The server is that of PREFECT_API_URL, the catalogue that of DAVAULT_HOME. Deployments of configurations that are gone
are removed, and only those.

Each machine that configurations name as theirs has a work pool of its own, and their deployments go there: a worker
serves its machine and no other, and can be drained and watched by itself (docs/many-machines.md).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

import tzlocal
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from backup_core.config.hosts import this_host
from backup_core.config.models import BackupConfig
from backup_core.services.application import open_application
from deployments import POOL
from deployments.automations import register_automations
from deployments.choices import Choices
from deployments.planning import Planned, plan, plan_fleet, plan_for_all, plan_recovery, pool_of
from flows._fleet_hands import CONFIGURATIONS
from flows._hosts import host_tag
from flows._runtime import ensure_limit, writer_limit
from flows.blocks import register_kinds

TAG = CONFIGURATIONS
"""Marks the deployments that this program made, and may remove."""
ONCE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""A scheduled run is left out while the one before it is still at work."""
PAGE = 200
"""Deployments that the server gives in one answer."""
JOB_VARIABLES = {
    "env": {"PREFECT_LOGGING_EXTRA_LOGGERS": "backup_core", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"},
    # A run whose worker dies would break at the next line that it prints into the worker's pipe. Nothing is lost: the
    # server keeps every run's log.
    "stream_output": False,
}

_logger = logging.getLogger(__name__)


def register_pool(name: str = POOL) -> None:
    """Make the process work pool of this name if there is none."""
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            try:
                client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            except ObjectAlreadyExists:
                return  # somebody else was quicker
            _logger.info("work pool %s made", name)


def register_configurations(configs: Sequence[BackupConfig], *, zone: str, plans: Sequence[str] = ()) -> list[str]:
    """Bring pools of machines, limits and deployments to what ``configs`` and the names of recovery ``plans`` say, and
    remove the deployments of what is gone.

    Returns the names of all deployments that are registered now, as ``flow/deployment``.
    """
    wanted = [planned for config in configs for planned in plan(config, zone)]
    wanted += plan_for_all(zone) if configs else []
    wanted += [plan_fleet()] if any(config.host for config in configs) else []
    wanted += [planned for plan in plans for planned in plan_recovery(plan, zone)]
    return _register(configs, wanted, Choices.of(configs, plans), within=TAG)


def register_host(host: str, configs: Sequence[BackupConfig], *, zone: str) -> list[str]:
    """As ``register_configurations``, for the configurations of one machine; nothing else is touched."""
    own = [config for config in configs if config.host == host]
    register_pool(pool_of(host))
    wanted = [planned for config in own for planned in plan(config, zone)]
    return _register(own, wanted, Choices.of(own, ()), within=host_tag(host))


def _register(
    configs: Sequence[BackupConfig], wanted: Sequence[Planned], choices: Choices, *, within: str
) -> list[str]:
    """``within`` is the tag of those that are removed when they are not wanted any more."""
    for pool in sorted({pool_of(config.host) for config in configs if config.host}):
        register_pool(pool)
    for limit in sorted({writer_limit(config) for config in configs}):
        ensure_limit(limit)
    for planned in wanted:
        bring_up(planned, choices)
    names = [f"{planned.flow.name}/{planned.name}" for planned in wanted]
    _remove_others(names, within)
    return names


def bring_up(planned: Planned, choices: Choices) -> None:
    """Bring one deployment onto the server, or up to date there."""
    # Declared to be awaitable too, which it only is inside an event loop.
    made = cast(UUID, make_deployment(planned, choices).apply())
    if planned.schedules:
        return
    # An empty list is not sent, and the schedules of before would stay.
    with get_client(sync_client=True) as client:
        for schedule in client.read_deployment(made).schedules:
            client.delete_deployment_schedule(made, schedule.id)


def make_deployment(planned: Planned, choices: Choices) -> RunnerDeployment:
    """A planned deployment as Prefect takes it, with the names that its run form offers."""
    made = RunnerDeployment.from_flow(
        planned.flow,
        name=planned.name,
        parameters=planned.parameters,
        schedules=list(planned.schedules),
        description=planned.description,
        tags=["davault", TAG, *([host_tag(planned.host)] if planned.host else [])],
        concurrency_limit=ONCE if planned.schedules else None,
        work_pool_name=pool_of(planned.host),
        job_variables=JOB_VARIABLES,
        # A path to a file would load the module a second time under another name.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Prefect has no public way to say this; it does the same for parameters that it freezes.
    choices.offer(made._parameter_openapi_schema.properties)
    return made


def offer_choices(choices: Choices) -> list[str]:
    """Have the run forms of deployments that others made of our flows (``prefect.yaml``) offer names to choose from,
    too; the names of those deployments."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["davault"]))
    names = []
    with get_client(sync_client=True) as client:
        for deployment in _found(client, ours):
            if TAG in deployment.tags:
                continue
            schema = deployment.parameter_openapi_schema or {}
            choices.offer(schema.get("properties", {}))
            client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=schema))
            names.append(f"{client.read_flow(deployment.flow_id).name}/{deployment.name}")
    return names


def _remove_others(wanted: Iterable[str], tag: str) -> None:
    keep = set(wanted)
    with get_client(sync_client=True) as client:
        for deployment in _registered(client, tag):
            name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
            if name not in keep:
                client.delete_deployment(deployment.id)
                _logger.info("deployment %s removed", name)


def _registered(client: SyncPrefectClient, tag: str) -> list[DeploymentResponse]:
    return _found(client, DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG, tag])))


def _found(client: SyncPrefectClient, wanted: DeploymentFilter) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=wanted, limit=PAGE, offset=len(found)):
        found += page
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Register, and say what is registered; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployments.register", description=__doc__)
    parser.add_argument("--pool-only", action="store_true", help="make only the work pool and the kinds of blocks")
    parser.add_argument("--choices", action="store_true", help="only the names that run forms of prefect.yaml offer")
    parser.add_argument(
        "--host",
        nargs="?",
        type=str.lower,
        const=this_host(),
        metavar="H",
        help="only the work pool and the deployments of the machine with this label (default: this machine's)",
    )
    parser.add_argument("--zone", help="time zone of the schedules (default: this machine's)")
    parser.add_argument(
        "--alert-channel",
        metavar="REFERENCE",
        help="where the Prefect server itself tells of alerts, failed runs and silence: a reference (env:NAME, "
        "file:PATH) to an Apprise URL or to the address of a webhook",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    register_pool(pool_of(options.host or ""))
    register_kinds()
    # Those of the whole catalogue: a machine that registers its own part leaves them alone.
    if options.alert_channel is not None or not (options.pool_only or options.choices or options.host):
        register_automations(options.alert_channel, _configured())
    zone = options.zone or tzlocal.get_localzone_name()
    names = [] if options.pool_only else _register_catalogue(zone, options.host, choices_only=options.choices)
    pool = pool_of(options.host or "")
    if options.json:
        sys.stdout.write(json.dumps({"pool": pool, "deployments": names}) + "\n")
    else:
        sys.stdout.writelines(f"{name}\n" for name in names)
        sys.stdout.write(f"start a worker with: python -m deployments.worker --pool {pool}\n")
    return 0


def _configured() -> list[str]:
    with open_application() as application:
        return [config.name for config in application.list_configs()]


def _register_catalogue(zone: str, host: str | None, *, choices_only: bool) -> list[str]:
    with open_application() as application:
        configs = application.list_configs()
        plans = [plan.name for plan in application.recovery.list_disaster_recovery_plans()]
    if choices_only:
        return offer_choices(Choices.of(configs, plans))
    if host is not None:
        return register_host(host, configs, zone=zone)
    return register_configurations(configs, zone=zone, plans=plans)


if __name__ == "__main__":
    sys.exit(main())
