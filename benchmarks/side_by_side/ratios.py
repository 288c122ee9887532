"""From runs to ratios: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.side_by_side.results import Run

OWN = "davault"


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the least and the most that were seen."""

    middle: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """At least one value is needed."""
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One case of one data set over one link."""

    data_set: str
    link: str
    case: str
    runs: dict[str, list[Run]]
    """By peer: those of the newest session that measured it beside Davault."""

    def spread(self, peer: str, value: Callable[[Run], float]) -> Spread | None:
        """Of a figure; None when the peer was not measured."""
        runs = self.runs.get(peer)
        return Spread.of([value(run) for run in runs]) if runs else None

    def ratio(self, peer: str, value: Callable[[Run], float]) -> float | None:
        """Davault's median by the peer's, both of one session; None when one is missing or nothing."""
        theirs = self.runs.get(peer)
        if not theirs:
            return None
        ours = self.runs[f"{OWN} beside {peer}"]
        below = median(value(run) for run in theirs)
        return median(value(run) for run in ours) / below if below else None


def rows(runs: Iterable[Run], scale: float = 1.0) -> list[Row]:
    """One for each case that Davault was measured in, at one scale."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], list[Run]]] = {}
    for run in runs:
        if run.scale == scale:
            sessions = found.setdefault((run.data_set, run.link, run.case), {})
            sessions.setdefault((run.session, run.peer), []).append(run)
    return [Row(*key, _newest(sessions)) for key, sessions in found.items() if any(p == OWN for _, p in sessions)]


def _newest(sessions: dict[tuple[str, str], list[Run]]) -> dict[str, list[Run]]:
    own = sorted(session for session, peer in sessions if peer == OWN)
    chosen = {OWN: sessions[own[-1], OWN]}
    for peer in {peer for _, peer in sessions} - {OWN}:
        if shared := [session for session in own if (session, peer) in sessions]:
            chosen[peer] = sessions[shared[-1], peer]
            chosen[f"{OWN} beside {peer}"] = sessions[shared[-1], OWN]
    return chosen
