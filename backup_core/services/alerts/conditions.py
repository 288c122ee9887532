"""Which facts are alarming, and what to do about each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from backup_core.config.durations import duration_text
from backup_core.services.alerts.records import Alert, AlertKind, ConfigurationFacts, Facts, PlanFacts


def alerts(facts: Facts) -> tuple[Alert, ...]:
    """All that somebody must do something about, by configuration and plan."""
    found = [alert for one in facts.configurations for alert in _configuration(one, facts.now)]
    found += [alert for plan in facts.plans for alert in _plan(plan, facts)]
    return (*found, *_storage(facts))


def due(found: Sequence[Alert], told: Mapping[str, datetime], *, now: datetime, remind_after: float) -> list[Alert]:
    """The alerts to tell now: those not told yet, and those told ``remind_after`` seconds ago or earlier."""
    limit = timedelta(seconds=remind_after)
    return [alert for alert in found if alert.key not in told or now - told[alert.key] >= limit]


def _configuration(one: ConfigurationFacts, now: datetime) -> Iterator[Alert]:
    newest = one.newest_backup or one.created_at
    if (now - newest).total_seconds() > one.longest_age:
        have = f"is {_age(now - newest)} old" if one.newest_backup else "does not exist"
        yield Alert(
            AlertKind.NO_BACKUP,
            one.name,
            f"the newest backup of {one.name} {have}; {duration_text(one.longest_age)} are allowed",
            f"back up now (davault backup {one.name}), and see why the schedule did not: is a worker running?",
            newest + timedelta(seconds=one.longest_age),
        )
    if one.failed_at is not None:
        yield Alert(
            AlertKind.RUN_FAILED,
            one.name,
            f"the last backup of {one.name} failed: {one.failure or 'no reason was recorded'}",
            f"mend the cause, then davault backup {one.name}: what was stored already is reused",
            one.failed_at,
        )
    if one.invalid:
        yield Alert(
            AlertKind.VALIDATION_FAILED,
            one.name,
            f"{len(one.invalid)} backups of {one.name} are damaged, such as {one.invalid[0]}: {one.damage}",
            f"run a full backup while the files still exist (davault backup {one.name} --type full), validate again",
            one.invalid_since,
        )
    if one.held:
        yield Alert(
            AlertKind.HOLD,
            one.name,
            f"{one.held[0]} looks wrong ({one.signs}); no backup of {one.name} is forgotten until somebody has looked",
            "look at what changed (davault diff), then restore from an earlier backup, or davault hold release",
            one.held_since,
        )
    if one.vanished:
        yield Alert(
            AlertKind.VANISHED,
            one.name,
            f"{len(one.vanished)} backups of {one.name} are gone from the server, such as {one.vanished[0]}, and "
            "nobody recorded forgetting them",
            f"change the account's password, and look (davault vanished {one.name}); make a copy: davault mirror",
            one.vanished_since,
        )


def _plan(plan: PlanFacts, facts: Facts) -> Iterator[Alert]:
    newest = plan.last_drill or plan.created_at
    if (facts.now - newest).total_seconds() > facts.drill_due:
        have = f"was last drilled {_age(facts.now - newest)} ago" if plan.last_drill else "was never drilled"
        yield Alert(
            AlertKind.DRILL_MISSED,
            plan.name,
            f"the recovery plan {plan.name} {have}",
            f"drill it: davault dr drill {plan.name}",
            newest + timedelta(seconds=facts.drill_due),
        )
    if plan.faults:
        what = " and ".join(_FAULTS[word] for word in plan.faults)
        yield Alert(
            AlertKind.DRILL_FAILED,
            plan.name,
            f"in the last drill of {plan.name}, {what}",
            f"see its report (davault dr history {plan.name}), mend the cause, drill again",
            plan.last_drill,
        )
    if plan.unfinished:
        yield Alert(
            AlertKind.RECOVERY_UNFINISHED,
            plan.name,
            f"the recovery {plan.unfinished} by {plan.name} is {plan.unfinished_state}",
            f"see what is missing (davault dr report {plan.unfinished}), then davault dr resume {plan.unfinished}",
            plan.unfinished_since,
        )


def _storage(facts: Facts) -> Iterator[Alert]:
    if facts.storage_budget is not None and facts.stored_bytes > facts.storage_budget:
        used, allowed = (f"{size / 2**30:.2f} GiB" for size in (facts.stored_bytes, facts.storage_budget))
        yield Alert(
            AlertKind.STORAGE_BUDGET,
            "",
            f"all backups together take {used}; {allowed} are allowed",
            "forget old backups (davault cleanup), give their room back (davault prune), or allow more",
        )


_FAULTS = {
    "state": "not everything came back",
    "rto": "recovering took longer than allowed",
    "rpo": "the backups were older than allowed",
}


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours < 96 else f"{age.days} days"
