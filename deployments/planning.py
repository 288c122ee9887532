"""Which deployments there should be: decided from the catalogue alone, without asking a server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from prefect import Flow
from prefect.schedules import Cron, Schedule

from backup_core.config.models import BackupConfig
from backup_core.config.rhythm import cron_days
from backup_core.services.retention.policy import KeepRules
from deployments import POOL
from flows._runtime import slug
from flows.alerts import alerts
from flows.backup import full_backup, incremental_backup
from flows.cleanup import cleanup_backups
from flows.disaster import disaster_recovery_drill, execute_disaster_recovery
from flows.fleet import fleet_backup
from flows.health_check import health_check
from flows.mirror import mirror
from flows.restore import restore
from flows.storage_report import storage_report
from flows.validate import validate_backups

REPORT_HOUR = 7
"""Of the day, local time: after the backups of the night."""
ALERTS_MINUTE = 50
"""Of every hour: runs begin at full hours, and most have ended by then."""
DRILLS = "30 9 1 * *"
"""When plans are drilled: on the first of the month, after the work of the night."""
HEALTH_HOUR = 8
"""Of the day, local time: late enough to see what the night has left, early enough to act on it."""
HOURS_TO_CLEANUP = 6
"""From a configuration's backup on Sunday to the cleanup, after the validation."""
MINUTES_TO_MIRROR = 90
"""From a configuration's backup to the copying to its mirrors."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One deployment as it should be."""

    flow: Flow[..., Any]
    name: str
    parameters: dict[str, object]
    schedules: tuple[Schedule, ...]
    description: str
    host: str = ""
    """Label of the machine that it must run on; "" is whichever serves the common pool."""


def pool_of(host: str) -> str:
    """The work pool of a machine; of none in particular, the common one."""
    return f"{POOL}-{slug(host)}" if host else POOL


def plan(config: BackupConfig, zone: str) -> list[Planned]:
    """The deployments of one configuration: backups at its ``schedule_time``, a rotating validation three hours later.

    Sundays are for the full backup when backups are incremental. Without a ``schedule_time`` nothing is scheduled and
    everything can still be started by hand.
    """
    name = deployment_name(config.name)
    at = {"configuration": config.name}
    full_days, incremental_days = cron_days(config, "full"), cron_days(config, "incremental")
    planned = [
        Planned(full_backup, name, dict(at), _crons(config, full_days, zone, "full"), f"Full backup of {config.name}"),
        Planned(
            incremental_backup,
            name,
            dict(at),
            _crons(config, incremental_days, zone, "incremental"),
            f"Incremental backup of {config.name}",
        ),
        Planned(
            validate_backups,
            name,
            {**at, "depth": "data"},
            _rotation(config, zone),
            f"Validation of the backups of {config.name}, a seventh of the data every day",
        ),
        Planned(restore, name, dict(at), (), f"Restore of {config.name}, started by hand"),
        _cleanup(config, name, zone),
        *_mirrors(config, name, zone),
        *_health(config, name, zone),
    ]
    return [replace(one, host=config.host) for one in planned]


def _cleanup(config: BackupConfig, name: str, zone: str) -> Planned:
    """Forgetting and pruning, six hours after Sunday's backup, when the configuration says what to keep. It is a dry
    run unless the configuration has old backups deleted anyway."""
    schedules: tuple[Schedule, ...] = ()
    if config.schedule_time is not None and KeepRules.of(config).given:
        hour, minute = map(int, config.schedule_time.split(":"))
        day = 0 if hour + HOURS_TO_CLEANUP < 24 else 1
        schedules = (Cron(f"{minute} {(hour + HOURS_TO_CLEANUP) % 24} * * {day}", timezone=zone, slug="weekly"),)
    parameters = {"configuration": config.name, "dry_run": not config.auto_delete_old}
    return Planned(cleanup_backups, name, parameters, schedules, f"Cleanup of the backups of {config.name}, every week")


def _mirrors(config: BackupConfig, name: str, zone: str) -> list[Planned]:
    """Copying to the configuration's mirrors, when it has any: every day, an hour and a half after its backup."""
    if not config.mirrors:
        return []
    schedules: tuple[Schedule, ...] = ()
    if config.schedule_time is not None:
        hour, minute = map(int, config.schedule_time.split(":"))
        later = (hour * 60 + minute + MINUTES_TO_MIRROR) % (24 * 60)
        schedules = (Cron(f"{later % 60} {later // 60} * * *", timezone=zone, slug="mirror"),)
    places = ", ".join(place.shown for place in config.mirrors)
    described = f"Copies of the backups of {config.name} to {places}"
    return [Planned(mirror, name, {"configuration": config.name}, schedules, described)]


def _health(config: BackupConfig, name: str, zone: str) -> list[Planned]:
    """Of what has a machine of its own, which alone can open the repository. The others are looked at together."""
    if not config.host:
        return []
    morning = (Cron(f"0 {HEALTH_HOUR} * * *", timezone=zone, slug="daily"),)
    return [Planned(health_check, name, {"configuration": config.name}, morning, f"Whether all is well with {name}")]


def plan_fleet() -> Planned:
    """The backup of all machines at once, started by hand: each configuration has its own schedule besides."""
    return Planned(fleet_backup, "all-hosts", {}, (), "Backs up all machines, and reports on each of them")


def plan_for_all(zone: str) -> list[Planned]:
    """The deployments that concern all configurations together."""
    daily = (Cron(f"0 {REPORT_HOUR} * * *", timezone=zone, slug="daily"),)
    hourly = (Cron(f"{ALERTS_MINUTE} * * * *", timezone=zone, slug="hourly"),)
    morning = (Cron(f"0 {HEALTH_HOUR} * * *", timezone=zone, slug="daily"),)
    return [
        Planned(storage_report, "daily", {}, daily, "Storage of all configurations over time, every morning"),
        Planned(alerts, "hourly", {}, hourly, "Tells people of what needs them; its silence is noticed, too"),
        Planned(health_check, "daily", {}, morning, "Whether servers, keys and the age of backups are as they should"),
    ]


def plan_recovery(plan: str, zone: str) -> list[Planned]:
    """The deployments of one disaster-recovery plan: a drill on the first of each month, the real thing by hand."""
    name, parameters = deployment_name(plan), {"plan": plan}
    monthly = (Cron(DRILLS, timezone=zone, slug="monthly"),)
    return [
        Planned(disaster_recovery_drill, name, dict(parameters), monthly, f"Monthly drill of {plan}"),
        Planned(execute_disaster_recovery, name, dict(parameters), (), f"Recovery by {plan}, approved by a person"),
    ]


def deployment_name(configuration: str) -> str:
    """The configuration's own name, unless it holds a character that Prefect does not allow in names."""
    return slug(configuration) if set(configuration) & set("/%&<>") else configuration


def _crons(config: BackupConfig, days: str, zone: str, what: str) -> tuple[Schedule, ...]:
    if config.schedule_time is None or not days:
        return ()
    hour, minute = map(int, config.schedule_time.split(":"))
    return (Cron(f"{minute} {hour} * * {days}", timezone=zone, slug=what),)


def _rotation(config: BackupConfig, zone: str) -> tuple[Schedule, ...]:
    if config.schedule_time is None:
        return ()
    hour, minute = map(int, config.schedule_time.split(":"))
    return tuple(
        Cron(
            f"{minute} {(hour + 3) % 24} * * {day}",
            timezone=zone,
            slug=f"part-{day + 1}-of-7",
            parameters={"subset": f"{day + 1}/7"},
        )
        for day in range(7)
    )
