"""What the history of a plan's drills shows: is recovering getting slower, and since when is an objective missed. Pure.

Only drills of the whole plan count: a sample says nothing about the time that everything takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from backup_core.config.durations import duration_text
from backup_core.services.disaster.records import RunReport, StepState, Trend

COMPARED = 5
"""Earlier drills that the newest one is compared with."""
NOTABLE = 0.2
"""A change of the recovery time that is worth a sentence."""


def trend(runs: Sequence[RunReport]) -> Trend:
    """The trend of drills, given in any order."""
    whole = [r for r in runs if r.kind == "drill" and not r.sample and r.state.final]
    drills = sorted((r for r in whole if r.state is not StepState.CANCELLED), key=lambda r: r.started_at)
    if not drills:
        return Trend(0, sentences=("this plan was never drilled as a whole",))
    newest = drills[-1]
    earlier = [r.rto for r in drills[:-1] if r.rto is not None][-COMPARED:]
    median = statistics.median(earlier) if earlier else None
    change = (newest.rto - median) / median if newest.rto is not None and median else None
    missed = [r for r in drills if faults(r)]
    since = None
    for run in reversed(drills):
        if not faults(run):
            break
        since = run.started_at
    return Trend(
        drills=len(drills),
        newest_rto=newest.rto,
        median_rto=median,
        change=change,
        first_breach=missed[0].started_at if missed else None,
        first_breach_of=faults(missed[0]) if missed else (),
        since=since,
        sentences=tuple(_sentences(drills, missed, change, median)),
    )


def faults(run: RunReport) -> tuple[str, ...]:
    """What a drill missed: "state" (it did not end whole), "rto", "rpo"."""
    return (() if run.state is StepState.COMPLETED else ("state",)) + run.breaches


def _sentences(
    drills: Sequence[RunReport], missed: Sequence[RunReport], change: float | None, median: float | None
) -> list[str]:
    newest = drills[-1]
    said = []
    if newest.rto is not None:
        allowed = f" of {duration_text(newest.rto_target)} allowed" if newest.rto_target is not None else ""
        said.append(f"the newest of {len(drills)} drills took {_shown(newest.rto)}{allowed}")
    if change is not None and median is not None and abs(change) >= NOTABLE:
        word = "longer" if change > 0 else "less"
        said.append(f"that is {abs(change):.0%} {word} than the {_shown(median)} of the drills before it")
    if missed:
        what = " and ".join(_WORDS[word] for word in faults(missed[0]))
        said.append(f"the first breach was on {missed[0].started_at:%Y-%m-%d %H:%M}: {what}")
        if not faults(newest):
            said.append("the newest drill was good again")
    else:
        said.append("no objective was ever missed")
    return said


_WORDS = {
    "state": "not everything came back",
    "rto": "it took longer than allowed",
    "rpo": "the backups were older than allowed",
}


def _shown(seconds: float) -> str:
    return duration_text(round(seconds, 1 if seconds < 60 else 0))
