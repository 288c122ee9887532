"""Disaster-recovery plans as people write them: steps, what each depends on, and how fast all of it has to be.

A step waits for those it depends on; independent steps run side by side, as many as ``parallel`` allows, in the order
in which they are written.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from backup_core.config import rules
from backup_core.config.checked import Checked, Name, checked
from backup_core.config.home import file_stem
from backup_core.config.recovery_checks import RecoveryCheck, RecoveryCommand, Reference, Seconds

OnFailure = Literal["stop", "continue"]
_Pattern = Annotated[str, checked(rules.pattern)]


class RecoveryStep(BaseModel):
    """One configuration to bring back, or a part of it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    name: Name
    configuration: Name
    """Its newest backup is restored, or the newest at ``at``."""
    depends_on: list[Name] = Field(default_factory=list)
    """Steps that must have been done before."""
    target: str = ""
    """Where to: absolute, or relative to the plan's directory. "": a directory of the step's name."""
    patterns: list[_Pattern] = Field(default_factory=list)
    """Only what matches one of these (empty: everything)."""
    exclude: list[_Pattern] = Field(default_factory=list)
    at: datetime | None = None
    """The newest backup at or before this moment (without an offset: local time)."""
    overwrite: Literal["always", "if-changed", "if-newer", "never"] = "if-changed"
    before: list[RecoveryCommand] = Field(default_factory=list)
    """Commands run before the restore, one after the other; when one fails, nothing is restored."""
    after: list[RecoveryCommand] = Field(default_factory=list)
    """Commands run after the restore: loading a dump, starting a service."""
    checks: list[RecoveryCheck] = Field(default_factory=list)
    """What must be true in the end."""

    @field_validator("target")
    @classmethod
    def _inside(cls, value: str) -> str:
        if "\0" in value or ".." in Path(value).parts:
            raise ValueError('a target may not hold "..", nor a NUL character')
        return value

    def place(self, base: Path) -> Path:
        """Where the step restores to when the plan's directory is ``base``."""
        return base / (self.target or file_stem(self.name))


class RecoveryPlan(Checked):
    """What to bring back after a disaster, in which order, and how to know that it is back."""

    name: Name
    description: str = ""
    target_base_path: Annotated[str, Field(min_length=1)]
    """Directory below which the steps restore."""
    steps: list[RecoveryStep] = Field(min_length=1)
    auto_verify: bool = True
    """Read everything back from disk after it was written."""
    on_failure: OnFailure = "continue"
    """"stop" begins no further step once one has failed or come back incomplete; "continue" leaves out only those that
    depend on a failed one."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps at the same time."""
    rto: Seconds | None = None
    """Seconds within which everything must be back (recovery time objective)."""
    rpo: Seconds | None = None
    """Seconds of work that may be lost at most: the age a backup may have (recovery point objective)."""
    notification_email: str = ""
    """Addresses that are told how it went, with commas between them."""
    notify: list[Reference] = Field(default_factory=list)
    """References to Apprise URLs that are told, too; they hold passwords, so they are never written here."""
    drill_scratch: str | None = None
    """Where drills make their directory; None: the system's temporary directory."""

    @classmethod
    def _noun(cls) -> str:
        return "the disaster-recovery plan"

    @field_validator("target_base_path")
    @classmethod
    def _absolute_base(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("a directory is needed")
        return str(Path(value).expanduser().absolute())

    @field_validator("notification_email")
    @classmethod
    def _addresses(cls, value: str) -> str:
        wrong = [a for a in value.replace(",", " ").split() if a.count("@") != 1 or a.startswith("@") or a[-1] == "@"]
        if wrong or any(ord(c) < 32 for c in value):
            raise ValueError("write addresses such as me@example.com, with commas between them")
        return value

    @property
    def addresses(self) -> list[str]:
        """The e-mail addresses to be told."""
        return self.notification_email.replace(",", " ").split()

    @property
    def base(self) -> Path:
        """``target_base_path`` as a path."""
        return Path(self.target_base_path)

    def step(self, name: str) -> RecoveryStep:
        """The step of this name; ``KeyError`` when there is none."""
        found = {step.name: step for step in self.steps}
        return found[name]

    def sorter(self) -> TopologicalSorter[str]:
        """The steps for one run through them, each after those it depends on."""
        return TopologicalSorter({step.name: step.depends_on for step in self.steps})

    def record(self) -> dict[str, Any]:
        """The plan as plain JSON values; constructing from it reads it. It holds references, never secrets."""
        return self.model_dump(mode="json")

    def _contradictions(self) -> list[str]:
        names = Counter(step.name for step in self.steps)
        problems = [f"steps: the step {name!r} is named twice" for name, count in names.items() if count > 1]
        for step in self.steps:
            strangers = [other for other in step.depends_on if other not in names]
            problems += [f"steps: {step.name!r} depends on {other!r}, which is no step" for other in strangers]
        if not problems:
            problems += self._cycle() + self._shared_places()
        return problems

    def _cycle(self) -> list[str]:
        try:
            self.sorter().prepare()
        except CycleError as error:
            circle = " → ".join(reversed(error.args[1]))
            return [f"steps: they wait for each other in a circle: {circle}"]
        return []

    def _shared_places(self) -> list[str]:
        """Two steps may restore parts of one configuration into one directory, but not different configurations."""
        owners: dict[Path, RecoveryStep] = {}
        problems = []
        for step in self.steps:
            first = owners.setdefault(step.place(self.base), step)
            if first.configuration != step.configuration:
                problems.append(f"steps: {first.name!r} and {step.name!r} restore into the same directory")
        return problems


def plan_in_order(recovery_order: list[str], **fields: Any) -> RecoveryPlan:
    """A plan that restores configurations one after the other, each into a directory of its name."""
    steps = [{"name": name, "configuration": name} for name in recovery_order]
    return RecoveryPlan.model_validate({**fields, "parallel": 1, "steps": steps})
