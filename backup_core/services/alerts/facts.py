"""The facts that alerts are made from, read from the catalogue. No server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.catalogue.evidence_rows import Fate
from backup_core.catalogue.history import RUNNING
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.config.notifications import NotificationSettings
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.results import Outcome
from backup_core.services.alerts.records import ConfigurationFacts, Facts, PlanFacts
from backup_core.services.disaster.journal import shown
from backup_core.services.disaster.plans import KeptPlan, Plans
from backup_core.services.disaster.records import StepState
from backup_core.services.disaster.trend import faults
from backup_core.services.health.objectives import longest_age
from backup_core.services.moments import to_aware
from backup_core.services.run_records import run_record

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_GOOD = (Outcome.COMPLETED.value, Outcome.COMPLETED_WITH_PROBLEMS.value)
_MOST_RUNS = 50
_MOST_VALIDATIONS = 500
_OPEN_ENDED = (StepState.INTERRUPTED, StepState.FAILED, StepState.INCOMPLETE, StepState.CANCELLED)


def gather(service: BackupService, settings: NotificationSettings) -> Facts:
    """All facts as of now."""
    catalogue, now = service.catalogue, service.clock.now()
    kept = Plans(catalogue, service.clock).listed()
    plans = [one.plan for one in kept]
    configs = service.configurations.all()
    repositories = {service.known.repository_id(config) for config in configs} - {None}
    sizes = [service.known.stored_size(str(repository)) or 0 for repository in repositories]
    return Facts(
        now=now,
        configurations=tuple(_configuration(service, config.name, plans, settings) for config in configs),
        plans=tuple(_plan(service, one) for one in kept),
        stored_bytes=sum(sizes),
        storage_budget=settings.storage_budget,
        drill_due=settings.drill_due,
    )


def _configuration(
    service: BackupService, name: str, plans: Sequence[RecoveryPlan], settings: NotificationSettings
) -> ConfigurationFacts:
    catalogue = service.catalogue
    row = catalogue.setups.configuration(name)
    manifests = catalogue.manifests.listed(name)
    runs = catalogue.history.runs(name, kind="backup", limit=_MOST_RUNS)
    failed = _failed(runs)
    here = {manifest.snapshot_id for manifest in manifests}
    invalid = _invalid(catalogue.history.validations(name, limit=_MOST_VALIDATIONS), here)
    holds = catalogue.holds.listed(configuration=name, released=False)
    gone = catalogue.evidence.gone(configuration=name, fate=Fate.VANISHED)
    return ConfigurationFacts(
        name=name,
        created_at=row.created_at if row is not None else service.clock.now(),
        longest_age=longest_age(name, plans, default=settings.no_backup_for),
        newest_backup=max((manifest.created_at for manifest in manifests), default=None),
        failed_at=_ended(failed) if failed is not None else None,
        failure=failed.error if failed is not None else "",
        invalid=tuple(row.backup_id or row.snapshot_id[:8] for row in invalid),
        invalid_since=min((row.started_at for row in invalid), default=None),
        damage=next((row.errors[0] for row in invalid if row.errors), ""),
        held=tuple(hold.backup_id for hold in holds),
        held_since=min((hold.begun_at for hold in holds), default=None),
        signs=", ".join(sign.get("message", "") for hold in holds for sign in hold.signs),
        vanished=tuple(row.backup_id for row in gone),
        vanished_since=min((row.at for row in gone), default=None),
    )


def _failed(runs: Sequence[RunRow]) -> RunRow | None:
    """The newest run, newest first in ``runs``, if it failed or its process has died; not one that was cancelled."""
    for row in runs:
        outcome = run_record(row).outcome
        if outcome in (RUNNING, Outcome.CANCELLED.value):
            continue
        return None if outcome in _GOOD else row
    return None


def _ended(row: RunRow) -> datetime:
    return row.ended_at or row.started_at


def _invalid(rows: Sequence[ValidationRow], here: set[str]) -> list[ValidationRow]:
    """The newest validation of each backup that still exists, if it found damage."""
    newest: dict[str, ValidationRow] = {}
    for row in rows:
        newest.setdefault(row.snapshot_id, row)
    return [row for row in newest.values() if not row.is_valid and row.snapshot_id in here]


def _plan(service: BackupService, kept: KeptPlan) -> PlanFacts:
    recoveries = service.catalogue.recoveries
    drills = [shown(row) for row in recoveries.listed(kept.plan_id, kind="drill", limit=_MOST_RUNS)]
    whole = [d for d in drills if not d.sample and d.state.final and d.state is not StepState.CANCELLED]
    executions = [shown(row) for row in recoveries.listed(kept.plan_id, kind="execution", limit=1)]
    stopped = next((run for run in executions if run.state in _OPEN_ENDED), None)
    return PlanFacts(
        name=kept.plan.name,
        created_at=to_aware(kept.created_at),
        last_drill=to_aware(whole[0].started_at) if whole else None,
        faults=faults(whole[0]) if whole else (),
        unfinished=stopped.run_id if stopped else "",
        unfinished_state=stopped.state.value if stopped else "",
        unfinished_since=to_aware(stopped.ended_at or stopped.started_at) if stopped else None,
    )
