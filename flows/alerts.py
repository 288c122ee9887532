"""The flow ``alerts``, which also shows by its own success that a worker is alive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.alerts.alerts import Alerts, markdown
from backup_core.services.alerts.records import Alert, Told
from backup_core.services.application import Application
from flows._pages import ends_with_a_page, publish
from flows._runtime import RETRIES, run_stage, transient
from flows._signs import emit_alert, emit_watched

FLOW = "alerts"
LONGEST = 900
"""Seconds: the catalogue is read, and at most some mail is sent."""


def _name() -> str:
    due: datetime = flow_run.get_scheduled_start_time()
    return f"alerts {due.astimezone():%Y-%m-%d %H:%M}"


@task(name="tell", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def tell(send: bool) -> Told:
    """Evaluate, and tell people what is new, what lasts, and what is well again; and the server's automations, what
    people could not be told."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> Told:
        found = Alerts(application.manager.backup_service)
        if not send:
            return Told(found.evaluate())
        told = found.tell()
        # What people were told already, the server's channel need not tell them once more.
        unheard = () if told.heard else told.alerts
        emit_watched((config.name for config in application.list_configs()), unheard)
        for alert in unheard:
            if alert.key in told.new:
                emit_alert(alert)
        return told

    return run_stage(work, title="alerts")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(found: Sequence[Alert]) -> None:
    """Keep what is wrong where people look for it."""
    publish(markdown(found), key="alerts", description="What somebody must do something about")


@flow(name=FLOW, flow_run_name=_name, timeout_seconds=LONGEST, persist_result=False)
@ends_with_a_page
def alerts(send: bool = True) -> State[Told]:
    """Look for what somebody must do something about - old backups, failed runs, damage, holds, too much storage,
    missed and failed drills - and tell the people and channels of ``davault notify``.

    Alerts are no failure of this run. It fails when somebody could not be told.

    Args:
        send: Tell people. Otherwise only the report is made.
    """
    told = tell(send)
    report(told.alerts)
    for alert in told.alerts:
        get_run_logger().warning("%s; %s", alert.message, alert.advice)
    if told.undelivered:
        return Failed(message="; ".join(told.undelivered))
    return Completed(message=f"{len(told.alerts)} alerts, {len(told.new)} told", data=told)
