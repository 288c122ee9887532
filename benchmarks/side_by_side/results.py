"""What was measured, kept in one JSON file to which each session adds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One command of one peer."""

    session: str
    """When its session began: ratios are formed within one session only."""
    data_set: str
    scale: float
    link: str
    case: str
    peer: str
    version: str
    wall: float
    """Seconds."""
    processor: float
    """Seconds."""
    memory: int
    """Bytes, the most of all processes together."""
    requests: int
    up: int
    """Bytes."""
    down: int
    """Bytes."""
    stored: int
    """Bytes that lie on the server afterwards."""
    others: float | None = None
    """The share of the processors that all else used meanwhile, the server included; None when nobody looked."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That restic found nothing wrong with a repository after all cases."""

    session: str
    data_set: str
    peer: str
    judge: str
    sound: bool


@dataclass(frozen=True, slots=True)
class Results:
    """Everything so far, oldest first."""

    machine: str
    runs: tuple[Run, ...] = ()
    proofs: tuple[Proof, ...] = ()

    def with_more(self, runs: Iterable[Run], proofs: Iterable[Proof]) -> Results:
        """These and some more."""
        return Results(self.machine, (*self.runs, *runs), (*self.proofs, *proofs))


def load(path: Path, machine: str) -> Results:
    """What the file holds; nothing when there is none, or when it tells of another machine."""
    if not path.exists():
        return Results(machine)
    document = json.loads(path.read_text())
    if document["machine"] != machine:
        return Results(machine)
    return Results(
        machine,
        tuple(Run(**each) for each in document["runs"]),
        tuple(Proof(**each) for each in document["proofs"]),
    )


def save(results: Results, path: Path) -> None:
    """One run in a line, so that changes can be read."""
    runs = ",\n  ".join(json.dumps(asdict(run)) for run in results.runs)
    proofs = ",\n  ".join(json.dumps(asdict(proof)) for proof in results.proofs)
    text = (
        f'{{\n "machine": {json.dumps(results.machine)},\n "runs": [\n  {runs}\n ],\n "proofs": [\n  {proofs}\n ]\n}}\n'
    )
    path.write_text(text)
