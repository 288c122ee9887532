"""The library's records as the documents of ``--json``: every key is listed in docs/cli.md.

Sizes are bytes, durations seconds, times ISO 8601 with offset. Keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backup_core.cli.units import timestamp

if TYPE_CHECKING:
    from backup_core.results import BackupSummary, Problem, RestoreSummary
    from backup_core.services.findings import BackupValidationResult, Finding, ProbeResult
    from backup_core.services.listings import FileEntry
    from backup_core.services.records import BackupManifest, RepositoryInfo
    from backup_core.services.recovery_records import RestorePreview
    from backup_core.services.retention.pruning import PruneResult

Document = dict[str, object]


def problems(found: Sequence[Problem]) -> list[Document]:
    """What went wrong while the work went on."""
    return [
        {
            "kind": p.kind,
            "severity": p.severity.value,
            "message": p.message,
            "path": p.path,
            "object_id": p.object_id,
        }
        for p in found
    ]


def _requests(by_method: Mapping[str, int]) -> Document:
    return {"requests": sum(by_method.values()), "requests_by_method": dict(by_method)}


def backup(summary: BackupSummary) -> Document:
    """The answer of ``backup``."""
    return {
        "backup_id": summary.backup_id,
        "snapshot_id": summary.snapshot_id,
        "backup_type": summary.backup_type,
        "outcome": summary.outcome.value,
        "dry_run": summary.dry_run,
        "encrypted": summary.encrypted,
        "parent": summary.parent,
        "started": timestamp(summary.started),
        "ended": timestamp(summary.ended),
        "files": summary.files,
        "files_new": summary.files_new,
        "files_changed": summary.files_changed,
        "files_unchanged": summary.files_unchanged,
        "directories": summary.directories,
        "total_size": summary.total_size,
        "data_added": summary.data_added,
        "stored_size": summary.stored_size,
        "packs": summary.packs,
        **_requests(summary.requests),
        "seconds": round(summary.seconds, 3),
        "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in summary.seconds_by_stage.items()},
        "notes": list(summary.notes),
        "problems": problems(summary.problems),
    }


def manifest(record: BackupManifest) -> Document:
    """One backup of ``list``."""
    return {
        "backup_id": record.backup_id,
        "config_name": record.config_name,
        "backup_type": record.backup_type,
        "created_at": timestamp(record.created_at),
        "total_size": record.total_size,
        "stored_size": record.stored_size,
        "file_count": record.file_count,
        "snapshot_id": record.snapshot_id,
        "parent": record.parent,
        "hostname": record.hostname,
        "paths": list(record.paths),
        "tags": list(record.tags),
        "encrypted": record.encrypted,
        "problems": record.problems,
        "validated_at": timestamp(record.validated_at),
    }


def file_entry(entry: FileEntry) -> Document:
    """One entry of ``files``."""
    return {
        "path": entry.path,
        "type": entry.type,
        "size": entry.size,
        "mode": entry.mode,
        "modified_at": timestamp(entry.modified_at),
        "link_target": entry.link_target,
    }


def validation(result: BackupValidationResult) -> Document:
    """One backup of ``validate``."""
    return {
        "backup_id": result.backup_id,
        "is_valid": result.is_valid,
        "depth": result.depth,
        "files_checked": result.files_checked,
        "files_passed": result.files_passed,
        "packs_checked": result.packs_checked,
        "bytes_read": result.bytes_read,
        "damaged_files": dict(result.damaged_files),
        "errors": list(result.errors),
        "warnings": list(result.warnings),
        "validated_at": timestamp(result.validated_at),
        **_requests(result.requests),
        "seconds": round(result.seconds, 3),
    }


def restore(summary: RestoreSummary) -> Document:
    """What a restore did."""
    return {
        "backup_id": summary.backup_id,
        "backup_time": timestamp(summary.backup_time),
        "target": summary.target,
        "outcome": summary.outcome.value,
        "files_total": summary.files_total,
        "files_restored": summary.files_restored,
        "files_unchanged": summary.files_unchanged,
        "files_verified": summary.files_verified,
        "bytes_restored": summary.bytes_restored,
        "bytes_downloaded": summary.bytes_downloaded,
        "blobs_by_copy": dict(summary.blobs_by_copy),
        **_requests(summary.requests),
        "seconds": round(summary.seconds, 3),
        "failed": dict(summary.failed),
        "problems": problems(summary.problems),
    }


def restore_preview(preview: RestorePreview) -> Document:
    """What a restore would do: the answer of ``restore --dry-run``."""
    return {
        "dry_run": True,
        "backup_id": preview.backup_id,
        "snapshot_id": preview.snapshot_id,
        "target": preview.target,
        "files_total": preview.files_total,
        "creates": preview.creates,
        "replaces": preview.replaces,
        "keeps": preview.keeps,
        "deletes": preview.deletes,
        "bytes_to_write": preview.bytes_to_write,
        "bytes_to_download": preview.bytes_to_download,
        "packs": preview.packs,
        "requests": preview.requests,
        "space_needed": preview.space_needed,
        "space_free": preview.space_free,
        "backup_time": timestamp(preview.created_at),
        "changes": [{"action": action, "path": path} for action, path in preview.changes],
        "notes": list(preview.notes),
    }


def repository(info: RepositoryInfo) -> Document:
    """The answer of ``init``."""
    return {
        "location": info.location,
        "repository_id": info.repository_id,
        "version": info.version,
        "encrypted": info.encrypted,
        "created": info.created,
        "key_source": info.key_source,
        "notes": list(info.notes),
    }


def prune(result: PruneResult) -> Document:
    """The answer of ``prune``."""
    return {
        "config": result.config_name,
        "dry_run": result.dry_run,
        "kept_packs": result.kept_packs,
        "kept_bytes": result.kept_bytes,
        "repacked_packs": result.repacked_packs,
        "repacked_bytes": result.repacked_bytes,
        "deleted_packs": result.deleted_packs,
        "deleted_bytes": result.deleted_bytes,
        "unreferenced_packs": result.unreferenced_packs,
        "unreferenced_bytes": result.unreferenced_bytes,
        "lost_packs": result.lost_packs,
        "freed_bytes": result.freed_bytes,
        "unused_bytes": result.unused_bytes,
        "planned_requests": dict(result.planned_requests),
        **_requests(result.requests),
        "seconds": round(result.seconds, 3),
    }


def probe(result: ProbeResult) -> Document:
    """The answer of ``client probe``."""
    return {
        "client": result.client,
        "location": result.location,
        "reachable": result.reachable,
        "seconds": round(result.seconds, 3),
        "error": result.error,
        "used": result.used,
        "available": result.available,
        "checks": dict(result.checks),
    }


def finding(record: Finding) -> Document:
    """One line of ``doctor``."""
    return {
        "level": record.level.value,
        "subject": record.subject,
        "message": record.message,
        "advice": record.advice,
    }
