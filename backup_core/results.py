"""What operations return: records whose fields carry their unit. Problems are data, not exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from backup_core.deferred import dataclass


class Severity(StrEnum):
    """How bad a problem is."""

    HINT = "hint"
    """Worth knowing; nothing is lost."""
    WARNING = "warning"
    """Something was left out or could not be kept exactly."""
    ERROR = "error"
    """Data is missing or damaged."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong while the work went on."""

    kind: str
    """A short stable word: "unreadable", "vanished", "changed", "damaged-pack", "missing-blob", ..."""
    message: str
    """What happened, to which object, and what to do next."""
    path: str = ""
    """The file concerned, in printable form ("" when none is)."""
    object_id: str = ""
    """The pack, index, snapshot or blob behind it, hex ("" when none is)."""
    severity: Severity = Severity.WARNING


class Outcome(StrEnum):
    """How an operation ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_PROBLEMS = "completed with problems"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """How a run differs from the backup it was compared with; ``engine.change_census`` counts it."""

    removed: int | None = None
    """Files of the earlier backup that are not there any more, or bear another name; None when nobody can tell."""
    rewritten: int = 0
    """Files whose content is another one now."""
    hardened: int = 0
    """Rewritten and renamed files that were compressible and are not any more (an estimate from a sample)."""
    comparable: int = 0
    """Rewritten and renamed files that were compressible (an estimate from a sample)."""
    new_hard: int = 0
    """New files that are incompressible (an estimate from a sample)."""
    fresh: float = 0.0
    """Share (0 to 1) of what was read that the repository did not hold yet: little when files were only moved."""
    suffixes: Mapping[str, int] = field(default_factory=dict)
    """Suffix -> how many new files bear it; the most frequent ones."""
    renamed: Mapping[str, int] = field(default_factory=dict)
    """Suffix -> how many files bear it that seem to be earlier ones renamed; the most frequent ones."""
    selection: str = ""
    """Stands for what was to be backed up: runs with another one cannot be compared file by file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCost:
    """What a backup would send and read, as a dry run finds it out from a sample."""

    requests: int
    """The folder it goes to is taken to be a repository already."""
    bytes_up: int
    packs: int
    bytes_read: int
    """Of the source."""
    sampled_bytes: int
    """Of the source, read to find this out."""


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What one backup run did, or (``dry_run``) would do."""

    backup_id: str
    snapshot_id: str
    """Hex; empty for a dry run."""
    backup_type: str
    """"full" or "incremental": what was really done."""
    outcome: Outcome
    started: datetime
    ended: datetime
    files: int
    """Files (of any kind but directories) in the snapshot."""
    files_new: int
    files_changed: int
    files_unchanged: int
    directories: int
    total_size: int
    """Logical bytes of all files in the snapshot."""
    data_added: int
    """Plaintext bytes of new blobs; of a dry run, about so many."""
    stored_size: int
    """Bytes this run added to the server (packs, index, snapshot); of a dry run, about so many."""
    packs: int
    """Pack files written."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests by method."""
    seconds: float = 0.0
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    parent: str = ""
    """Snapshot id that unchanged files were compared with, hex, or ""."""
    notes: tuple[str, ...] = ()
    """Sentences for people, such as "no earlier backup: this incremental became a full one"."""
    problems: tuple[Problem, ...] = ()
    dry_run: bool = False
    planned: PlannedCost | None = None
    """Of a dry run."""
    encrypted: bool = True
    changes: ChangeFigures = ChangeFigures()


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """What one validation found."""

    depth: str
    """"quick", "data" or "restore"."""
    files_checked: int
    files_passed: int
    packs_checked: int
    bytes_read: int
    """Bytes downloaded and verified."""
    damaged_files: Mapping[str, str] = field(default_factory=dict)
    """Printable path of each damaged file -> why, naming the pack behind it."""
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """True when nothing needed is missing or damaged."""
        return not self.damaged_files and all(p.severity is not Severity.ERROR for p in self.problems)


@dataclass(frozen=True, slots=True)
class RestoreSummary:
    """What one restore did."""

    target: str
    outcome: Outcome
    files_total: int
    """Entries (files, links, special files) selected."""
    files_restored: int
    """Entries written."""
    files_unchanged: int
    """Entries that were already there and right."""
    files_verified: int
    """Files read back from disk and found right (0 unless asked for)."""
    bytes_restored: int
    """Logical bytes written."""
    bytes_downloaded: int
    failed: Mapping[str, str] = field(default_factory=dict)
    """Printable path -> reason."""
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)
    blobs_by_copy: Mapping[str, int] = field(default_factory=dict)
    """Blobs of files that were fetched, by the address of the copy they came from: the repository or a mirror."""
    backup_id: str = ""
    """Of the backup that was restored, "" when a snapshot was restored without asking for its backup."""
    backup_time: datetime | None = None
    """When that backup began, aware."""
