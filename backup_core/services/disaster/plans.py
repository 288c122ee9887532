"""Keeping plans: by id, or by a name that only one of them has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import PlanRow
from backup_core.clock import Clock
from backup_core.config.recovery_plan_files import dump_plans, load_plans
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.services.moments import to_local


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan, and what the catalogue calls it."""

    plan_id: str
    plan: RecoveryPlan
    created_at: datetime
    """Naive local time."""


class Plans:
    """The plans of one catalogue."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    def add(self, plan: RecoveryPlan, *, unique: bool = True) -> KeptPlan:
        """Keep a plan. With ``unique``, ``ConfigError`` when there is one of this name."""
        if unique and self._named(plan.name):
            raise ConfigError(f"there is a disaster-recovery plan {plan.name!r} already; edit it, or replace it")
        return self._save(f"dr_{uuid.uuid4().hex[:12]}", plan)

    def replace(self, plan_id: str, plan: RecoveryPlan) -> KeptPlan:
        """Keep a changed plan under its old id. ``ConfigError`` when another one has its name."""
        if any(kept.plan_id != plan_id for kept in self._named(plan.name)):
            raise ConfigError(f"another disaster-recovery plan is called {plan.name!r}")
        return self._save(plan_id, plan)

    def find(self, plan: str) -> KeptPlan:
        """A plan by its id or name; ``ConfigError`` when there is none, or more than one of this name."""
        row = self._catalogue.plans.get(plan)
        found = [_kept(row)] if row is not None else self._named(plan)
        if not found:
            names = ", ".join(kept.plan.name for kept in self.listed())
            raise ConfigError(
                f"there is no disaster-recovery plan {plan!r}" + (f"; there are: {names}" if names else "")
            )
        if len(found) > 1:
            ids = ", ".join(kept.plan_id for kept in found)
            raise ConfigError(f"{len(found)} disaster-recovery plans are called {plan!r}; name one by its id: {ids}")
        return found[0]

    def listed(self) -> list[KeptPlan]:
        """All plans, oldest first."""
        return [_kept(row) for row in self._catalogue.plans.listed()]

    def remove(self, plan: str) -> KeptPlan:
        """Forget a plan; what is known of its drills and executions stays."""
        kept = self.find(plan)
        self._catalogue.plans.remove(kept.plan_id)
        return kept

    # ---- to and from elsewhere

    def load(self, path: Path, *, replace: bool = False) -> list[KeptPlan]:
        """Add the plans of a TOML file: all of them, or none when anything is wrong. With ``replace``, those that have
        the name of a known one take its place."""
        plans = load_plans(path)
        taken = {plan.name: self._named(plan.name) for plan in plans}
        problems = [f"the plan {name!r} exists already" for name, known in taken.items() if known and not replace]
        problems += [f"there are {len(known)} plans {name!r}" for name, known in taken.items() if len(known) > 1]
        if problems:
            raise ConfigError("nothing was imported; replacing must be asked for", problems=problems)
        return [
            self.replace(taken[plan.name][0].plan_id, plan) if taken[plan.name] else self.add(plan) for plan in plans
        ]

    def dump(self, plans: Iterable[str] = ()) -> str:
        """Plans (all, or those named) as TOML."""
        wanted = [self.find(plan) for plan in plans] or self.listed()
        return dump_plans(kept.plan for kept in wanted)

    def export_records(self) -> list[dict[str, Any]]:
        """All plans as plain JSON values, ids included, for ``import_records`` on another machine."""
        return [
            {
                "plan_id": kept.plan_id,
                "created_at": kept.created_at.astimezone().isoformat(),
                "plan": kept.plan.record(),
            }
            for kept in self.listed()
        ]

    def import_records(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Keep plans that ``export_records`` gave, under their old ids; those known already stay as they are. Names of
        the plans added. ``ConfigError`` when a record is no plan."""
        added = []
        for record in records:
            plan = RecoveryPlan.model_validate(record["plan"])
            if self._catalogue.plans.get(str(record["plan_id"])) is None:
                moment = datetime.fromisoformat(str(record["created_at"]))
                self._catalogue.plans.save(str(record["plan_id"]), plan.name, plan.record(), moment)
                added.append(plan.name)
        return added

    # ---- inside

    def _save(self, plan_id: str, plan: RecoveryPlan) -> KeptPlan:
        self._catalogue.plans.save(plan_id, plan.name, plan.record(), self._clock.now())
        return self.find(plan_id)

    def _named(self, name: str) -> list[KeptPlan]:
        return [kept for kept in self.listed() if kept.plan.name == name]


def _kept(row: PlanRow) -> KeptPlan:
    return KeptPlan(row.plan_id, RecoveryPlan.model_validate(row.record), to_local(row.created_at))
