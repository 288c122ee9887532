"""What flows tell the Prefect server in events, so that its automations can act on it (deployments/automations.py)."""

from __future__ import annotations

from collections.abc import Iterable

from prefect.events import emit_event

from backup_core.services.alerts.records import Alert, AlertKind
from flows._runtime import slug

FRESH = "davault.backup.fresh"
"""The newest backup of a configuration was young enough when somebody looked."""


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


def emit_fresh(names: Iterable[str], found: Iterable[Alert]) -> None:
    """Tell of each configuration whose newest backup is young enough."""
    old = {alert.subject for alert in found if alert.kind is AlertKind.NO_BACKUP}
    for name in names:
        if name not in old:
            resource = {"prefect.resource.id": configuration_resource(name), "prefect.resource.name": name}
            emit_event(FRESH, resource=resource)
