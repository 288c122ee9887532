"""From what people say - options of a command, fields of a configuration - to the pure rules of retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from backup_core.config.spans import parse_span
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.format.retention import RetentionPolicy

_MOST_DAYS = 365_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """What to keep. A backup stays when any of these keeps it; None and empty are rules that are not used."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: str | None = None
    """A span of time, such as "30d" or "1y6m"."""
    tags: tuple[str, ...] = ()
    count: int | None = None
    """``keep_count`` of the original API: the same as ``last``, 1 or more."""
    days: int | None = None
    """``keep_days`` of the original API: ``within`` in days, 1 or more."""
    max_versions: int | None = None
    """Another name for ``count``."""
    at_least: int | None = None
    """The newest N that stay in any case (1); no rule by itself."""

    @classmethod
    def of(cls, config: BackupConfig) -> Self:
        """The rules of a configuration."""
        return cls(
            last=config.keep_last or None,
            hourly=config.keep_hourly or None,
            daily=config.keep_daily or None,
            weekly=config.keep_weekly or None,
            monthly=config.keep_monthly or None,
            yearly=config.keep_yearly or None,
            within=config.keep_within,
            tags=tuple(config.keep_tags),
            max_versions=config.max_versions,
            at_least=config.keep_at_least,
        )

    @property
    def given(self) -> bool:
        """True when some rule is in use."""
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        others = (self.within, self.count, self.days, self.max_versions)
        return bool(self.tags) or any(rule is not None for rule in (*counts, *others))

    def with_at_least(self, at_least: int | None) -> Self:
        """The same rules with another number of backups that stay in any case; None changes nothing."""
        return self if at_least is None else replace(self, at_least=at_least)

    def policy(self) -> RetentionPolicy:
        """The same as pure rules. Raises ``ConfigError`` that lists all that is wrong."""
        from backup_core.format.retention import RetentionPolicy

        problems = [*self._too_small(), *self._span_problems()]
        if not self.given:
            problems.append(
                "say what to keep: keep_last, keep_daily, keep_within ..., keep_count, keep_days, "
                "or the configuration's max_versions"
            )
        if problems:
            raise ConfigError("these rules cannot be used for a cleanup", problems=problems)
        spans = [parse_span(self.within)] if self.within is not None else []
        spans += [timedelta(days=self.days)] if self.days is not None else []
        return RetentionPolicy(
            last=max(self.last or 0, self.count or 0, self.max_versions or 0),
            hourly=self.hourly or 0,
            daily=self.daily or 0,
            weekly=self.weekly or 0,
            monthly=self.monthly or 0,
            yearly=self.yearly or 0,
            within=max(spans) if spans else None,
            tags=self.tags,
            at_least=1 if self.at_least is None else self.at_least,
        )

    def _too_small(self) -> list[str]:
        least_one = {"keep_count": self.count, "keep_days": self.days, "max_versions": self.max_versions}
        least_zero = {
            "keep_last": self.last,
            "keep_hourly": self.hourly,
            "keep_daily": self.daily,
            "keep_weekly": self.weekly,
            "keep_monthly": self.monthly,
            "keep_yearly": self.yearly,
        }
        least_one["keep_at_least"] = self.at_least
        problems = [] if self.days is None or self.days <= _MOST_DAYS else [f"keep_days must be at most {_MOST_DAYS}"]
        return problems + [
            f"{name} must be {least} or more, not {value}"
            for least, values in ((1, least_one), (0, least_zero))
            for name, value in values.items()
            if value is not None and value < least
        ]

    def _span_problems(self) -> list[str]:
        if self.within is None:
            return []
        try:
            parse_span(self.within)
        except ValueError as error:
            return [f"keep_within: {error}"]
        return []
