"""Which snapshots a policy keeps, and why. A pure function of (snapshots, policy, now).

A snapshot is kept when *any* rule keeps it; every decision carries all its reasons. Periods (hours, days, ISO
weeks, months, years) are those of the zone that ``now`` is in, so that "one a day" means the user's days. The rules
are the field's standard ones; ages are counted from the newest snapshot rather than from ``now`` (as restic does),
so that neither a stalled schedule nor a clock that jumps ahead makes old snapshots expire.

A snapshot dated in the future is kept, and counts for no rule: a wrong clock must never push real backups out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError

FUTURE_TOLERANCE = timedelta(minutes=10)
"""How far the clocks of two machines may differ before a snapshot counts as dated in the future."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How much to keep. A count of 0 (None for ``within``) means that the rule is not used."""

    last: int = 0
    """The newest N snapshots."""
    hourly: int = 0
    """The newest snapshot of each of the last N hours that have one; the same for the longer periods."""
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None
    """All snapshots at most this much older than the newest one."""
    tags: tuple[str, ...] = ()
    """All snapshots that carry one of these tags."""
    at_least: int = 1
    """The newest N are kept whatever the rules say."""

    def __post_init__(self) -> None:
        problems = [
            f"{field.name} must be 0 or more, not {value}"
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), int) and value < 0
        ]
        if self.within is not None and self.within < timedelta(0):
            problems.append(f"within must not be negative, as {self.within} is")
        if problems:
            raise ConfigError("this retention policy cannot be used", problems=problems)

    @property
    def is_empty(self) -> bool:
        """True when no rule is in use, so that nothing but ``at_least`` would be kept."""
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        return not any(counts) and self.within is None and not self.tags


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rules need to know of a snapshot."""

    id: str
    time: datetime
    """When it was taken; aware."""
    tags: frozenset[str] = frozenset()
    pinned: str = ""
    """Why it must stay, "" when it need not."""
    validated: bool = False
    """True when its newest validation found nothing wrong."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one snapshot."""

    candidate: Candidate
    keep: bool
    reasons: tuple[str, ...]
    """Why it is kept; for one that goes, the one sentence that says so."""


def decide(candidates: Iterable[Candidate], policy: RetentionPolicy, *, now: datetime) -> list[Decision]:
    """Judge every candidate, newest first. ``now`` is aware; its zone says where days begin.

    Raises ``ConfigError`` for an empty policy, and for one that would keep nothing at all.
    """
    if policy.is_empty:
        raise ConfigError("an empty retention policy would remove nearly everything; say what to keep")
    ordered = sorted(candidates, key=lambda c: (c.time, c.id), reverse=True)
    reasons: dict[str, list[str]] = {c.id: [] for c in ordered}
    real = [c for c in ordered if c.time <= now + FUTURE_TOLERANCE]
    for candidate in ordered[: len(ordered) - len(real)]:
        reasons[candidate.id].append("dated in the future: check the clock of the machine that made it")
    _keep_by_rules(real, policy, now, reasons)
    _keep_by_guards(ordered, real, policy, reasons)
    if ordered and not any(reasons.values()):
        raise ConfigError("this policy would remove every backup; keep at least one")
    return [Decision(c, bool(reasons[c.id]), tuple(reasons[c.id]) or ("no rule keeps it",)) for c in ordered]


def _keep_by_rules(
    real: Sequence[Candidate], policy: RetentionPolicy, now: datetime, reasons: dict[str, list[str]]
) -> None:
    for number, candidate in enumerate(real[: policy.last], start=1):
        reasons[candidate.id].append(f"last {number} of {policy.last}")
    periods: tuple[tuple[str, int, Callable[[datetime], Hashable]], ...] = (
        ("hourly", policy.hourly, _hour),
        ("daily", policy.daily, _day),
        ("weekly", policy.weekly, _week),
        ("monthly", policy.monthly, _month),
        ("yearly", policy.yearly, _year),
    )
    for name, count, period in periods:
        keys = [(c.id, period(c.time.astimezone(now.tzinfo))) for c in real]
        for number, snapshot in enumerate(_one_per_period(keys, count), start=1):
            reasons[snapshot].append(f"{name} {number} of {count}")
    for candidate in real:
        if policy.within is not None and real[0].time - candidate.time <= policy.within:
            reasons[candidate.id].append(f"within {_plain(policy.within)} of the newest")
        reasons[candidate.id].extend(f"tag {tag}" for tag in policy.tags if tag in candidate.tags)


def _one_per_period(keys: Iterable[tuple[str, Hashable]], count: int) -> list[str]:
    """The first snapshot of each of the first ``count`` different periods."""
    newest: dict[Hashable, str] = {}
    for snapshot, key in keys:
        newest.setdefault(key, snapshot)
    return list(newest.values())[:count]


def _keep_by_guards(
    ordered: Sequence[Candidate],
    real: Sequence[Candidate],
    policy: RetentionPolicy,
    reasons: dict[str, list[str]],
) -> None:
    for candidate in real[: policy.at_least]:
        some = (
            "the newest one, which always stays"
            if policy.at_least == 1
            else (f"one of the newest {policy.at_least}, which always stay")
        )
        reasons[candidate.id].append(some)
    for candidate in ordered:
        if candidate.pinned:
            reasons[candidate.id].append(f"pinned: {candidate.pinned}")
    good = next((c for c in real if c.validated), None)
    if good is not None:
        reasons[good.id].append("the newest backup that was validated")


def _hour(time: datetime) -> Hashable:
    # The UTC offset tells the two hours apart that bear one name when summer time ends.
    return (time.year, time.month, time.day, time.hour, time.utcoffset())


def _day(time: datetime) -> Hashable:
    return time.date()


def _week(time: datetime) -> Hashable:
    return time.isocalendar()[:2]


def _month(time: datetime) -> Hashable:
    return (time.year, time.month)


def _year(time: datetime) -> Hashable:
    return time.year


def _plain(span: timedelta) -> str:
    return f"{span.days} days" if span == timedelta(days=span.days) else str(span)
