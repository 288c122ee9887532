"""What a look at the health of backups finds."""

from __future__ import annotations

from datetime import datetime

from backup_core.deferred import dataclass
from backup_core.services.findings import FindingLevel


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at."""

    subject: str
    """The configuration, or ``configuration → client:/folder`` for one of its mirrors."""
    check: str
    """"reachable", "key", "index", "locks", "age", "space", "hold" or "vanished"."""
    level: FindingLevel
    message: str
    advice: str = ""
    """What to do; "" when nothing."""
    value: float | None = None
    """What was measured: seconds for "age", bytes free for "space", counts for "locks", "hold" and
    "vanished"."""
    limit: float | None = None
    """From where on it is an error (in the same unit), None when there is no such limit."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Everything that was looked at."""

    at: datetime
    """Naive local time."""
    checks: tuple[HealthCheck, ...]
    seconds: float = 0.0

    @property
    def healthy(self) -> bool:
        """True when nothing is wrong; warnings do not count."""
        return not self.errors

    @property
    def errors(self) -> tuple[HealthCheck, ...]:
        """What is wrong."""
        return tuple(check for check in self.checks if check.level is FindingLevel.ERROR)

    @property
    def warnings(self) -> tuple[HealthCheck, ...]:
        """What needs attention soon."""
        return tuple(check for check in self.checks if check.level is FindingLevel.WARNING)
