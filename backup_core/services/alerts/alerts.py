"""Evaluating alerts, and telling people: what is new at once, what lasts now and then, and when it is well again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.repository.options import default_hostname
from backup_core.services.alerts import conditions
from backup_core.services.alerts.facts import gather
from backup_core.services.alerts.records import Alert, Told
from backup_core.services.notices import Notice, Notices

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_TOLD = "alerts-told"
"""Setting: key of an alert -> when it was told last."""


class Alerts:
    """The alerts of one home."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._notices = Notices(service.catalogue, service.clock)

    def evaluate(self) -> tuple[Alert, ...]:
        """All that is wrong now, by the catalogue."""
        return conditions.alerts(gather(self._service, self._notices.settings))

    def tell(self) -> Told:
        """Evaluate, and tell the people and channels of the notification settings what is new, what lasts, and what is
        well again. What could not be delivered counts as not told, so that the next call tries again."""
        settings, now = self._notices.settings, self._service.clock.now()
        found = self.evaluate()
        told = {
            key: datetime.fromisoformat(at)
            for key, at in dict(self._service.catalogue.setups.setting(_TOLD) or {}).items()
        }
        present = {alert.key for alert in found}
        due = conditions.due(found, told, now=now, remind_after=settings.remind_after)
        resolved = sorted(set(told) - present)
        if not due and not resolved:
            return Told(found, heard=settings.anybody)
        undelivered = self._notices.send(notice(found, due, resolved))
        if not undelivered:
            kept = {key: at for key, at in told.items() if key in present} | {alert.key: now for alert in due}
            self._service.catalogue.setups.set(_TOLD, {key: at.isoformat() for key, at in kept.items()})
        heard = settings.anybody and not undelivered
        return Told(found, tuple(alert.key for alert in due), tuple(resolved), tuple(undelivered), heard)


def notice(found: Sequence[Alert], due: Sequence[Alert], resolved: Sequence[str]) -> Notice:
    """What is told: the new alerts, the others, and what is well again."""
    where = default_hostname()
    if due:
        subject = f"Davault on {where}: {due[0].message}" + (f" (and {len(due) - 1} more)" if len(due) > 1 else "")
    elif found:
        subject = f"Davault on {where}: {len(resolved)} things are well again, {len(found)} are not"
    else:
        subject = f"Davault on {where}: all is well again"
    others = [alert for alert in found if alert not in due]
    lines = [*_section("Alerts", due), *_section("Still so", others)]
    if resolved:
        lines += ["## Well again", "", *(f"- {key}" for key in resolved), ""]
    return Notice(subject, "\n".join(lines))


def markdown(found: Sequence[Alert]) -> str:
    """All alerts on one page."""
    headline = f"# {len(found)} alerts" if found else "# Nothing to be alarmed about"
    return "\n".join([headline, "", *_section("Alerts", found)])


def _section(title: str, found: Sequence[Alert]) -> list[str]:
    if not found:
        return []
    lines = []
    for alert in found:
        since = f" (since {alert.since.astimezone():%Y-%m-%d %H:%M})" if alert.since is not None else ""
        lines += [f"- **{alert.message}**{since}", f"  - {alert.advice}"]
    return [f"## {title}", "", *lines, ""]
