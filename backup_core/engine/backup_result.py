"""What a backup came to, and how it is told: to readers of the snapshot, and to who asked for it."""

from __future__ import annotations

import hashlib
from dataclasses import field
from datetime import datetime
from typing import TypedDict

from backup_core.deferred import dataclass
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.change_census import ChangeCensus
from backup_core.engine.tree_builder import TreeBuilder
from backup_core.engine.walk_counts import WalkCounts
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.repository.blob_store import StoreTotals
from backup_core.repository.index import Index
from backup_core.results import ChangeFigures
from backup_core.types import TreeId


@dataclass(slots=True)
class BackupResult:
    """Facts of one run."""

    tree: TreeId
    counts: WalkCounts
    directories: TreeBuilder
    """For its counts of directories."""
    notes: list[str]
    census: ChangeCensus
    data_blobs: int = 0
    data_added: int = 0
    """Plaintext bytes of new data blobs; in a rehearsal, bytes to be read."""
    data_stored: int = 0
    """The same as stored."""
    trees: StoreTotals = field(default_factory=StoreTotals)
    packs: int = 0


class FileFigures(TypedDict):
    """The fields of ``BackupSummary`` that count files and bytes."""

    files: int
    files_new: int
    files_changed: int
    files_unchanged: int
    directories: int
    total_size: int
    data_added: int
    packs: int


def file_figures(result: BackupResult) -> FileFigures:
    """Links and special files count as files."""
    counts = result.counts
    new = counts.files_new + counts.others_new
    changed = counts.files_changed + counts.others_changed
    unchanged = counts.files_unchanged + counts.others_unchanged
    return FileFigures(
        files=new + changed + unchanged,
        files_new=new,
        files_changed=changed,
        files_unchanged=unchanged,
        directories=counts.directories,
        total_size=counts.total_size,
        data_added=result.data_added + result.trees.plain_bytes,
        packs=result.packs,
    )


def snapshot_summary(result: BackupResult, *, started: datetime, ended: datetime) -> SnapshotSummary:
    """As restic counts: files proper only."""
    counts, directories, trees = result.counts, result.directories, result.trees
    return SnapshotSummary(
        backup_start=started,
        backup_end=ended,
        files_new=counts.files_new,
        files_changed=counts.files_changed,
        files_unmodified=counts.files_unchanged,
        dirs_new=directories.directories_new,
        dirs_changed=directories.directories_changed,
        dirs_unmodified=directories.directories_unchanged,
        data_blobs=result.data_blobs,
        tree_blobs=trees.tree_blobs,
        data_added=result.data_added + trees.plain_bytes,
        data_added_packed=result.data_stored + trees.stored_bytes,
        total_files_processed=counts.files_new + counts.files_changed + counts.files_unchanged,
        total_bytes_processed=counts.total_size,
    )


def changes_of(
    result: BackupResult, index: Index, *, earlier: Snapshot | None, options: BackupOptions
) -> ChangeFigures:
    """How the run differs from the backup it was compared with."""
    known = earlier.summary.total_files_processed if earlier is not None and earlier.summary is not None else None
    met = result.counts.files_changed + result.counts.files_unchanged
    return result.census.settle(
        index,
        previous_files=known,
        met=met,
        data_added=result.data_added,
        compressed=options.compression,
        selection=_selection(options),
    )


def _selection(options: BackupOptions) -> str:
    """A few digits that stand for all options by which files are chosen."""
    chosen = (
        sorted(options.sources),
        options.include,
        options.exclude,
        options.exclude_caches,
        options.exclude_if_present,
        options.max_file_size,
        options.one_file_system,
        options.case_insensitive,
    )
    return hashlib.sha256(repr(chosen).encode("utf-8", "backslashreplace")).hexdigest()[:8]
