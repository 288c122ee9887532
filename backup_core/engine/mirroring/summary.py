"""What a mirror run did, and what it cost on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.engine.mirroring.plan import MirrorPlan
from backup_core.repository.repository import Repository
from backup_core.results import Outcome, Problem, Severity
from backup_core.types import SnapshotId


@dataclass(frozen=True, slots=True)
class MirrorSummary:
    """What one mirror run did, or for a dry run would do."""

    outcome: Outcome
    dry_run: bool
    snapshots_copied: Mapping[SnapshotId, SnapshotId]
    """Snapshots of the first repository -> their copies; a dry run does not know the copies' ids ("")."""
    snapshots_present: int
    """Snapshots that were there already."""
    left_out: Mapping[SnapshotId, str]
    """Snapshots that could not be copied, and why."""
    blobs: int
    bytes_read: int
    """Bytes fetched from the first repository."""
    bytes_written: int
    """Bytes of packs, index and snapshot files sent to the mirror; for a dry run about as many as it would be."""
    packs: int
    """Packs written."""
    planned_requests: int
    requests_source: Mapping[str, int] = field(default_factory=dict)
    """Requests to the first repository by method."""
    requests_target: Mapping[str, int] = field(default_factory=dict)
    """Requests to the mirror by method."""
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0


class Copied(NamedTuple):
    """What was really done."""

    copies: dict[SnapshotId, SnapshotId]
    left_out: dict[SnapshotId, str]
    problems: list[Problem]
    blobs: int
    packs: int


class Meter:
    """What a run costs on both sides."""

    def __init__(self, source: Repository, target: Repository, clock: Clock) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._begun = clock.monotonic()
        self._read = source.backend.requests.bytes_down
        self._written = target.bytes_written
        self._before = [Counter(r.backend.requests.by_method) for r in (source, target)]

    def foreseen(self, plan: MirrorPlan, problems: Sequence[Problem]) -> MirrorSummary:
        """The summary of a dry run."""
        return self._summary(
            plan,
            Copied({s.id: SnapshotId("") for s in plan.snapshots}, {}, list(problems), plan.blobs, 0),
            dry_run=True,
        )

    def done(self, plan: MirrorPlan, problems: Sequence[Problem], copied: Copied) -> MirrorSummary:
        """The summary of a run."""
        return self._summary(plan, copied._replace(problems=[*problems, *copied.problems]), dry_run=False)

    def _summary(self, plan: MirrorPlan, copied: Copied, *, dry_run: bool) -> MirrorSummary:
        problems = (*copied.problems[:], *plan.problems)
        source, target = (
            dict(Counter(r.backend.requests.by_method) - before)
            for r, before in zip((self._source, self._target), self._before, strict=True)
        )
        return MirrorSummary(
            outcome=_outcome(problems, done=bool(copied.copies or plan.present)),
            dry_run=dry_run,
            snapshots_copied=copied.copies,
            snapshots_present=len(plan.present),
            left_out={**plan.left_out, **copied.left_out},
            blobs=copied.blobs,
            bytes_read=self._source.backend.requests.bytes_down - self._read,
            bytes_written=plan.bytes if dry_run else self._target.bytes_written - self._written,
            packs=copied.packs,
            planned_requests=plan.requests,
            requests_source=source,
            requests_target=target,
            problems=problems,
            seconds=self._clock.monotonic() - self._begun,
        )


def _outcome(problems: Sequence[Problem], *, done: bool) -> Outcome:
    if all(problem.severity is Severity.HINT for problem in problems):
        return Outcome.COMPLETED
    return Outcome.COMPLETED_WITH_PROBLEMS if done else Outcome.FAILED
