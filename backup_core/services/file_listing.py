"""The entries of a backup, for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from backup_core.engine.find import iterate_files
from backup_core.engine.restore_layout import printable
from backup_core.format.file_mode import unix_mode
from backup_core.format.tree import Node
from backup_core.repository.repository import Repository
from backup_core.services.listings import FileEntry
from backup_core.services.moments import to_local

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = -62_000_000_000
"""Seconds; in the year 5."""
_LATEST = 253_000_000_000
"""Seconds; in the year 9987."""


def listed_files(repository: Repository, snapshot_id: str, pattern: str = "") -> Iterator[FileEntry]:
    """Entries of a snapshot in tree order, only those matching ``pattern`` when one is given."""
    snapshot = repository.load_snapshot(snapshot_id)
    patterns = (pattern,) if pattern else ()
    for path, node in iterate_files(repository, snapshot, patterns, directories=True):
        yield file_entry(path, node)


def file_entry(path: bytes, node: Node) -> FileEntry:
    """An entry of a tree as people see it."""
    return FileEntry(
        path=printable(path),
        type=node.type,
        size=node.size,
        mode=unix_mode(node.mode),
        modified_at=_moment(node.mtime_ns),
        link_target=printable(node.linktarget) if node.linktarget else "",
    )


def _moment(nanoseconds: int) -> datetime:
    # File systems hold years that datetime does not.
    seconds = min(max(nanoseconds // 10**9, _EARLIEST), _LATEST)
    return to_local(_EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds % 10**9 // 1000))
