"""How long a plan would take, from the speeds of past restores. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.deferred import dataclass

LEAST_BYTES = 1 << 20
"""Restores of less say nothing about speed."""
MOST_MEASURES = 10
"""The newest ones; older ones may be of another line or machine."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A restore of the past that went well."""

    configuration: str
    bytes_written: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What past restores let one expect."""

    rate: float
    """Logical bytes a second."""
    source: str
    """Where the figure comes from, for people."""


def expected_speed(configuration: str, past: Sequence[Measured]) -> Speed | None:
    """The median speed of the configuration's own restores, else of all, newest first in ``past``; None when there was
    none that is large enough."""
    large = [m for m in past if m.bytes_written >= LEAST_BYTES and m.seconds > 0]
    own = [m for m in large if m.configuration == configuration][:MOST_MEASURES]
    used = own or large[:MOST_MEASURES]
    if not used:
        return None
    whose = f"of {configuration}" if own else "of other configurations"
    plural = "restore" if len(used) == 1 else "restores"
    return Speed(statistics.median(m.bytes_written / m.seconds for m in used), f"{len(used)} {plural} {whose}")


def plan_seconds(plan: RecoveryPlan, seconds: Mapping[str, float]) -> float:
    """How long the whole plan takes when its steps take ``seconds``, with its dependencies and its parallel places.

    Steps that run side by side share the line, so this is a lower bound when the line is what limits them.
    """
    order = {step.name: number for number, step in enumerate(plan.steps)}
    sorter = plan.sorter()
    sorter.prepare()
    ready: list[str] = []
    running: dict[str, float] = {}
    now = 0.0
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=order.__getitem__)
        for name in ready[: plan.parallel - len(running)]:
            running[name] = now + seconds[name]
            ready.remove(name)
        first = min(running, key=lambda name: (running[name], order[name]))
        now = running.pop(first)
        sorter.done(first)
    return now
