"""When scheduled backups are full: one rule for the scheduler of a process and for Prefect's deployments."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig

SUNDAY = 6
"""As ``date.weekday`` counts."""

Kind = Literal["full", "incremental"]


def kind_on(config: BackupConfig, day: date) -> Kind:
    """What a scheduled backup of this day is: incremental ones are full on Sundays, so that every source byte is read
    once a week and everything is proved to be on the server; other configurations are always backed up in full."""
    return "incremental" if config.incremental and day.weekday() != SUNDAY else "full"


def cron_days(config: BackupConfig, kind: Kind) -> str:
    """The days of ``kind`` in cron's words (0 is Sunday), "" for none."""
    if not config.incremental:
        return "*" if kind == "full" else ""
    return "0" if kind == "full" else "1-6"
