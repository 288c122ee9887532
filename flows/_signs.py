"""What flows tell the Prefect server in events, so that its automations can act on it (deployments/automations.py)."""

from __future__ import annotations

from collections.abc import Iterable

from prefect.events import emit_event

from backup_core.services.alerts.records import Alert, AlertKind
from flows._runtime import slug

WATCHED = "davault.configuration.watched"
"""Somebody looked at a configuration: its newest backup is young enough, or people know that it is not."""


def alert_event(kind: AlertKind) -> str:
    """Name of the event that tells of a new alert."""
    return f"davault.alert.{kind.value}"


def configuration_resource(name: str) -> str:
    """The resource that stands for a configuration."""
    return f"davault.configuration.{slug(name)}"


def emit_alert(alert: Alert) -> None:
    """Tell of an alert: what is wrong, and what to do."""
    emit_event(
        alert_event(alert.kind),
        resource={
            "prefect.resource.id": f"{alert_event(alert.kind)}.{slug(alert.subject) or 'all'}",
            "prefect.resource.name": alert.subject or "everything",
        },
        payload={"message": alert.message, "advice": alert.advice},
    )


def emit_watched(names: Iterable[str], unheard: Iterable[Alert]) -> None:
    """Tell of each configuration that somebody looked at it, but for those of whose old backups nobody knows."""
    old = {alert.subject for alert in unheard if alert.kind is AlertKind.NO_BACKUP}
    for name in names:
        if name not in old:
            resource = {"prefect.resource.id": configuration_resource(name), "prefect.resource.name": name}
            emit_event(WATCHED, resource=resource)
