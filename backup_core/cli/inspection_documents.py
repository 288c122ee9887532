"""The documents of ``find``, ``diff`` and ``history``: every key is listed in docs/cli.md."""

from __future__ import annotations

from backup_core.cli import documents
from backup_core.cli.documents import Document
from backup_core.cli.units import timestamp
from backup_core.services.inspection.records import (
    BackupDifference,
    FoundFile,
    PathHistory,
    PathVersion,
    SearchResult,
    SideCounts,
)


def search(result: SearchResult) -> Document:
    """The answer of ``find``."""
    return {
        "backups_searched": result.backups,
        "found": len(result.files),
        "files": (_found(file) for file in result.files),
        "problems": documents.problems(result.problems),
    }


def _found(file: FoundFile) -> Document:
    return {
        **documents.file_entry(file.entry),
        "config_name": file.config_name,
        "backups": file.backups,
        "first_backup": file.first_backup,
        "last_backup": file.last_backup,
        "last_backup_at": timestamp(file.last_backup_at),
    }


def difference(result: BackupDifference) -> Document:
    """The answer of ``diff``."""
    return {
        "before": result.before.backup_id,
        "after": result.after.backup_id,
        "added": _side(result.added),
        "removed": _side(result.removed),
        "content_changed": result.content_changed,
        "metadata_changed": result.metadata_changed,
        "type_changed": result.type_changed,
        "new_data": result.new_data,
        "new_stored": result.new_stored,
        "gone_data": result.gone_data,
        "gone_stored": result.gone_stored,
        "changes": (
            {
                "mark": change.mark,
                "path": change.path,
                "type": change.type,
                "size_before": change.size_before,
                "size_after": change.size_after,
            }
            for change in result.changes
        ),
    }


def _side(counts: SideCounts) -> Document:
    return {
        "files": counts.files,
        "directories": counts.directories,
        "others": counts.others,
        "size": counts.size,
    }


def histories(found: list[PathHistory]) -> Document:
    """The answer of ``history``."""
    return {
        "path": found[0].path,
        "histories": [
            {"config_name": history.config_name, "versions": [_version(version) for version in history.versions]}
            for history in found
        ],
    }


def _version(version: PathVersion) -> Document:
    entry = version.entry
    return {
        "change": version.change,
        "type": None if entry is None else entry.type,
        "size": None if entry is None else entry.size,
        "size_change": version.size_change,
        "modified_at": None if entry is None else timestamp(entry.modified_at),
        "content": version.content,
        "backups": version.backups,
        "first_backup": version.first_backup,
        "first_backup_at": timestamp(version.first_backup_at),
        "last_backup": version.last_backup,
        "last_backup_at": timestamp(version.last_backup_at),
    }
