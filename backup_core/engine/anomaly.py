"""Telling disasters from ordinary days: a run is compared with the history of its configuration. Pure.

A backup of encrypted, deleted or unmounted files is a perfect backup; but if nobody notices, retention removes the good
ones after it. So a run that shows one of these signs is held up for a person to look at:

==============  ========================================================================================================
empty           there were files, and there are none
deletion        at least half of the files are gone, and nothing came in their place
replaced        a third of the files are gone, about as many new ones have come, and these are incompressible
encryption      files that were compressible are not any more: 5 % of all, and half of those that changed
suffix          a tenth of the files bear a suffix not seen before and another content, and earlier ones are gone for it
collapse        three quarters of the bytes are gone
rewriting       nearly all files have another content, where that was never so before
==============  ========================================================================================================

**Where the thresholds come from.** Half of the files, and a least number that keeps small changes out of it, is what
Veeam's scan of deleted files uses (50 % and 100 files, raised with each false positive:
https://helpcenter.veeam.com/docs/backup/vsphere/malware_detection_guest_index_deleted_files.html); the least number is
20 here, since a person's folder is smaller than a machine. Mass renaming is one of its events as well (200 files in one
folder). That a threshold must also lie above what the same source does every day is what Commvault's baselines are for
(https://documentation.commvault.com/11.42/software/monitoring_anomalies.html): so each limit is at least
``MARGIN`` above the ninth decile of the last ``WINDOW`` ordinary runs. Loss of compressibility together with many files
at once is the first indicator of CryptoDrop (Scaife et al., ICDCS 2016), whose authors also say what no such rule can
tell apart: a person who encrypts their own files. That is what releasing a hold is for; a released run is ordinary
history from then on. How well the others are set was measured on the simulated histories of
``tests/unit/engine/test_anomaly_histories.py``: eight kinds of sources over 200 days each raise no false alarm (nor do
they with six other seeds), also with any one of these shares halved; every disaster is found on the day it strikes,
from the second run on.

**What is not seen**: an attack that changes less than these shares between any two backups, content that was encrypted
or stored uncompressed all along (only names, sizes and deletions tell then).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from typing import Any, Literal, Self

from backup_core.deferred import dataclass

WINDOW = 60
"""Ordinary runs of the past that count."""
ENOUGH_HISTORY = 5
"""Ordinary runs from which on there is something to call usual."""
MARGIN = 0.25
"""How far (in shares of all files) a limit lies above what is usual."""
LEAST_FILES = 20
"""Files below which a change is no mass; for a source with less than three times as many, a third of it, and 3 (or
all) at least."""
DELETED = 0.5
NOT_REPLACED = 0.6
"""Share of the earlier number of files that there are at most after a deletion."""
REPLACED = 0.3
HARD_NEWCOMERS = 0.8
FRESH = 0.5
"""Share of what was read that must be new to the repository: moved files are not."""
HARDENED = 0.05
HARDENED_OF_CHANGED = 0.5
NEW_SUFFIX = 0.1
HARD_AMONG_SUFFIX = 0.5
COLLAPSED = 0.25
COLLAPSE_LEAST = 1024 * 1024
"""Bytes below which a source may shrink as it likes."""
REWRITTEN = 0.8
REWRITTEN_LEAST = 50

Kind = Literal["empty", "deletion", "replaced", "encryption", "suffix", "collapse", "rewriting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of one run. Sizes are logical bytes."""

    files: int
    size: int
    new: int = 0
    removed: int | None = None
    """Files of the backup before that are gone or bear another name; None when nobody can tell."""
    rewritten: int = 0
    hardened: int = 0
    comparable: int = 0
    new_hard: int = 0
    fresh: float = 0.0
    suffixes: Mapping[str, int] = field(default_factory=dict)
    renamed: Mapping[str, int] = field(default_factory=dict)
    selection: str = ""
    """Stands for what was to be backed up; "" when that is not known."""

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Self:
        """From the figures of a run, as they are recorded; those of another version are taken as far as they go."""
        changes = figures.get("changes") or {}
        removed = changes.get("removed")
        return cls(
            files=int(figures.get("files", 0)),
            size=int(figures.get("total_size", 0)),
            new=int(figures.get("files_new", 0)),
            removed=None if removed is None else int(removed),
            **{name: int(changes.get(name, 0)) for name in ("rewritten", "hardened", "comparable", "new_hard")},
            fresh=float(changes.get("fresh", 0.0)),
            suffixes=dict(changes.get("suffixes") or {}),
            renamed=dict(changes.get("renamed") or {}),
            selection=str(changes.get("selection", "")),
        )


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that looks like a disaster."""

    kind: Kind
    message: str
    """For people."""


def judge(run: RunFacts, history: Sequence[RunFacts]) -> list[Sign]:
    """The signs that a run shows. ``history`` holds the ordinary runs before it, newest first; after none, nothing can
    look wrong."""
    if not history or not history[0].files:
        return []
    case = _Case(run, history[0], history[:WINDOW])
    return [Sign(kind, message) for kind, look in _SIGNS.items() if (message := look(case))]


@dataclass(frozen=True, slots=True)
class _Case:
    run: RunFacts
    last: RunFacts
    """The ordinary run before it."""
    history: Sequence[RunFacts]

    @property
    def files(self) -> int:
        """That were there before."""
        return self.last.files

    @property
    def many(self) -> int:
        """How many files are a mass."""
        return max(min(self.files, 3), min(LEAST_FILES, math.ceil(self.files / 3)))

    @property
    def gone(self) -> int:
        """Files that are not there any more under their name."""
        shrunk = max(0, self.files - self.run.files)
        return shrunk if self.run.removed is None else max(shrunk, min(self.run.removed, self.files))

    @property
    def as_before(self) -> bool:
        """Whether the same was to be backed up: who changes that, expects files to go."""
        return self.run.selection == self.last.selection or not (self.run.selection and self.last.selection)

    def limit(self, floor: float, usual: Callable[[RunFacts], float], *, margin: float = MARGIN) -> float:
        """The share from which on something is not ordinary: the floor, or more where this source often does it."""
        if len(self.history) < ENOUGH_HISTORY:
            return floor
        return max(floor, _ninth_decile([usual(run) for run in self.history]) + margin)


def _ninth_decile(values: list[float]) -> float:
    return sorted(values)[int(0.9 * (len(values) - 1))]


def _share_gone(run: RunFacts) -> float:
    before = run.files - run.new + (run.removed or 0)
    return (run.removed or 0) / before if before else 0.0


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "all"


def _empty(case: _Case) -> str:
    if case.run.files or any(not run.files for run in case.history):
        return ""
    return f"the source is empty, and held {case.files:,} files before: is something not mounted?"


def _deletion(case: _Case) -> str:
    gone, run = case.gone, case.run
    limit = case.limit(DELETED, _share_gone)
    if not run.files or not case.as_before or gone < case.many or gone < limit * case.files:
        return ""
    if run.files > NOT_REPLACED * case.files:
        return ""
    return f"{gone:,} of {case.files:,} files ({_percent(gone, case.files)}) are gone, and nothing came in their place"


def _replaced(case: _Case) -> str:
    gone, run = case.gone, case.run
    limit = case.limit(REPLACED, _share_gone)
    if gone < case.many or gone < limit * case.files or run.new < gone / 2 or run.fresh < FRESH:
        return ""
    newcomers = [r for r in case.history if r.new]
    usually_hard = sum(r.new_hard for r in newcomers) > HARD_NEWCOMERS / 2 * sum(r.new for r in newcomers)
    if usually_hard or run.new_hard < HARD_NEWCOMERS * run.new:
        return ""
    return (
        f"{gone:,} of {case.files:,} files are gone, and {run.new:,} new ones have come, of which "
        f"{_percent(run.new_hard, run.new)} look like encrypted ones"
    )


def _encryption(case: _Case) -> str:
    run = case.run
    limit = case.limit(HARDENED, lambda r: r.hardened / r.files if r.files else 0.0, margin=HARDENED)
    if run.hardened < case.many or run.hardened < limit * case.files:
        return ""
    if run.hardened < HARDENED_OF_CHANGED * run.comparable:
        return ""
    return (
        f"{run.hardened:,} of {case.files:,} files ({_percent(run.hardened, case.files)}) could be compressed before "
        "and look like encrypted ones now"
    )


def _suffix(case: _Case) -> str:
    if case.run.fresh < FRESH or case.run.new_hard < HARD_AMONG_SUFFIX * case.run.new:
        return ""
    known = {suffix for run in case.history for suffix in (*run.suffixes, *run.renamed)}
    for suffix, count in sorted({**case.run.suffixes, **case.run.renamed}.items(), key=lambda item: -item[1]):
        renamed = case.run.renamed.get(suffix, 0)
        replaced = max(renamed, min(count, case.gone) if known else 0)
        if not suffix or suffix in known or replaced < case.many or replaced < NEW_SUFFIX * case.files:
            continue
        if 2 * replaced >= count:
            return f"{count:,} files bear the suffix .{suffix}, which none had before, in place of earlier files"
    return ""


def _collapse(case: _Case) -> str:
    before, now = case.last.size, case.run.size
    if before < COLLAPSE_LEAST or not case.run.files or not case.as_before:
        return ""
    if now > min(COLLAPSED, 0.5 * _deepest_fall(case.history)) * before:
        return ""
    return f"{_percent(before - now, before)} of the data are gone: {before:,} bytes before, {now:,} now"


def _deepest_fall(history: Sequence[RunFacts]) -> float:
    """The smallest share of its size that this source ordinarily had left after a run."""
    return min((run.size / before.size for run, before in pairwise(history) if before.size), default=1.0)


def _rewriting(case: _Case) -> str:
    run = case.run
    if len(case.history) < ENOUGH_HISTORY or not case.as_before or run.rewritten < REWRITTEN_LEAST:
        return ""
    usual = case.limit(REWRITTEN, lambda r: r.rewritten / r.files if r.files else 0.0)
    if run.rewritten < usual * case.files:
        return ""
    return f"{run.rewritten:,} of {case.files:,} files have another content, where that was never so before"


_SIGNS: dict[Kind, Callable[[_Case], str]] = {
    "empty": _empty,
    "deletion": _deletion,
    "replaced": _replaced,
    "encryption": _encryption,
    "suffix": _suffix,
    "collapse": _collapse,
    "rewriting": _rewriting,
}


def signs_as_values(signs: Sequence[Sign]) -> Iterator[dict[str, str]]:
    """Signs as plain values, to be stored."""
    return ({"kind": sign.kind, "message": sign.message} for sign in signs)
