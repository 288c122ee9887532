"""Facts in, alerts out. Moments are aware."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backup_core.deferred import dataclass


class AlertKind(StrEnum):
    """What is wrong."""

    NO_BACKUP = "no-backup"
    """The newest backup of a configuration is older than allowed."""
    RUN_FAILED = "run-failed"
    """The last backup run of a configuration failed, after all its retries."""
    VALIDATION_FAILED = "validation-failed"
    STORAGE_BUDGET = "storage-budget"
    """All backups together take more than they may."""
    DRILL_MISSED = "drill-missed"
    """A recovery plan was not drilled for too long."""
    DRILL_FAILED = "drill-failed"
    """The last drill missed an objective, or did not bring everything back."""
    RECOVERY_UNFINISHED = "recovery-unfinished"
    """An execution of a recovery plan stopped before its end."""
    HOLD = "hold"
    """A backup looked like a disaster; nothing of its configuration is forgotten until somebody has looked."""
    VANISHED = "vanished"
    """Backups were on the server and are gone, and nobody recorded forgetting them."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that somebody must do something about."""

    kind: AlertKind
    subject: str
    """The configuration or plan, "" when it concerns all."""
    message: str
    advice: str
    since: datetime | None = None
    """When it began, as far as that is known."""

    @property
    def key(self) -> str:
        """The same as long as it is the same thing that is wrong."""
        return f"{self.kind.value}:{self.subject}"


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """What is known of one configuration."""

    name: str
    created_at: datetime
    longest_age: float
    """Seconds that its newest backup may be old."""
    newest_backup: datetime | None = None
    failed_at: datetime | None = None
    """When its last run ended, if it failed and no later one succeeded."""
    failure: str = ""
    invalid: tuple[str, ...] = ()
    """Backups that their last validation found damaged."""
    invalid_since: datetime | None = None
    damage: str = ""
    held: tuple[str, ...] = ()
    """Backups on hold."""
    held_since: datetime | None = None
    signs: str = ""
    """Why they look wrong."""
    vanished: tuple[str, ...] = ()
    """Backups that are gone, and nobody recorded forgetting them."""
    vanished_since: datetime | None = None
    """When that was first noticed."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What is known of one recovery plan."""

    name: str
    created_at: datetime
    last_drill: datetime | None = None
    """Of the whole plan, that came to its end."""
    faults: tuple[str, ...] = ()
    """What that drill missed: "state", "rto", "rpo"."""
    unfinished: str = ""
    """The id of an execution that stopped before its end."""
    unfinished_state: str = ""
    unfinished_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that alerts are made from."""

    now: datetime
    configurations: tuple[ConfigurationFacts, ...] = ()
    plans: tuple[PlanFacts, ...] = ()
    stored_bytes: int = 0
    storage_budget: int | None = None
    drill_due: float = 40 * 86_400.0
    """Seconds after which a plan must have been drilled again."""


@dataclass(frozen=True, slots=True)
class Told:
    """What telling people did."""

    alerts: tuple[Alert, ...]
    """All that is wrong now."""
    new: tuple[str, ...] = ()
    """Keys of those that were told for the first time, or once more."""
    resolved: tuple[str, ...] = ()
    """Keys of those that were told before and are well again."""
    undelivered: tuple[str, ...] = ()
    """Sentences about what could not be delivered."""
    heard: bool = False
    """Whether there is anybody to be told, and all of them were told of all that is wrong now."""
