"""Which backup each step of a plan restores, where to, and why not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.home import file_stem
from backup_core.config.recovery_plans import RecoveryPlan, RecoveryStep
from backup_core.deferred import dataclass
from backup_core.engine.commands import CommandLine, shown
from backup_core.errors import BackupError, Cancelled
from backup_core.services.disaster.records import PlannedStep, Preview
from backup_core.services.restore_sessions import RestoreRequest

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService


@dataclass(frozen=True, slots=True)
class Choice:
    """One step, and the restore that it would be now."""

    step: RecoveryStep
    target: Path
    request: RestoreRequest | None
    problem: str = ""
    """Why there is no request."""

    @property
    def planned(self) -> PlannedStep:
        """For people."""
        backup = self.request.backup if self.request is not None else None
        return PlannedStep(
            name=self.step.name,
            configuration=self.step.configuration,
            target=str(self.target),
            depends_on=tuple(self.step.depends_on),
            backup_id=backup.backup_id if backup else "",
            created_at=backup.created_at if backup else None,
            files=backup.file_count if backup else 0,
            total_size=backup.total_size if backup else 0,
            commands=tuple(shown(_line(c.command)) for c in (*self.step.before, *self.step.after)),
            checks=len(self.step.checks),
            problem=self.problem,
        )


class Chooser:
    """Finds backups for the steps of a plan."""

    def __init__(self, recovery: RecoveryService) -> None:
        self._recovery = recovery

    def choose(
        self,
        plan: RecoveryPlan,
        plan_id: str,
        *,
        scratch: Path | None = None,
        only: Collection[str] = (),
    ) -> list[Choice]:
        """A choice for each step (or those named in ``only``), asking the servers what their newest backups are.

        With ``scratch``, everything goes below that directory, wherever the plan sends it.
        """
        return [
            self._one(plan, plan_id, step, step.place(plan.base) if scratch is None else scratch / file_stem(step.name))
            for step in plan.steps
            if not only or step.name in only
        ]

    def again(self, plan: RecoveryPlan, plan_id: str, step: RecoveryStep, target: Path, snapshot_id: str) -> Choice:
        """The choice that was made before; made anew when none was."""
        return self._one(plan, plan_id, step, target, snapshot_id)

    def _one(self, plan: RecoveryPlan, plan_id: str, step: RecoveryStep, target: Path, snapshot_id: str = "") -> Choice:
        try:
            request = self._recovery.request(
                None if snapshot_id else step.configuration,
                backup_id=snapshot_id or None,
                at=None if snapshot_id else step.at,
                target=target,
                patterns=tuple(step.patterns),
                exclude=tuple(step.exclude),
                overwrite=step.overwrite,
                verify=plan.auto_verify,
                plan_id=plan_id,
            )
        except Cancelled:
            raise
        except BackupError as error:
            return Choice(step, target, None, str(error))
        return Choice(step, target, request)


def _line(command: str | list[str]) -> CommandLine:
    return command if isinstance(command, str) else tuple(command)


def preview(plan: RecoveryPlan, plan_id: str, choices: list[Choice]) -> Preview:
    """What an execution of these choices would do."""
    return Preview(plan_id, plan.name, plan.on_failure, plan.parallel, tuple(choice.planned for choice in choices))
