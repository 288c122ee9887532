"""The records of retention as the documents of ``--json``; docs/cli.md lists every key."""

from __future__ import annotations

from backup_core.cli import documents
from backup_core.cli.documents import Document
from backup_core.cli.units import timestamp
from backup_core.services.retention.records import CleanupDecision, CleanupResult, Hold, Pin


def cleanup(result: CleanupResult) -> Document:
    """The answer of ``cleanup``."""
    return {
        "config": result.config_name,
        "dry_run": result.dry_run,
        "kept": len(result.kept),
        "forgotten": [backup.backup_id for backup in result.forgotten],
        "decisions": [_decision(decision) for decision in result.decisions],
        "holds": [hold(record) for record in result.holds],
        "prune": None if result.pruned is None else documents.prune(result.pruned),
        "requests": sum(result.requests.values()),
        "requests_by_method": dict(result.requests),
        "seconds": round(result.seconds, 3),
    }


def _decision(decision: CleanupDecision) -> Document:
    return {
        "backup_id": decision.backup.backup_id,
        "snapshot_id": decision.backup.snapshot_id,
        "hostname": decision.backup.hostname,
        "created_at": timestamp(decision.backup.created_at),
        "keep": decision.keep,
        "reasons": list(decision.reasons),
    }


def pin(record: Pin) -> Document:
    """One pin."""
    return {
        "backup_id": record.backup_id,
        "snapshot_id": record.snapshot_id,
        "config_name": record.config_name,
        "reason": record.reason,
        "pinned_at": timestamp(record.pinned_at),
        "hold": record.hold or None,
    }


def hold(record: Hold) -> Document:
    """One hold."""
    return {
        "backup_id": record.backup_id,
        "snapshot_id": record.snapshot_id,
        "config_name": record.config_name,
        "signs": list(record.signs),
        "begun_at": timestamp(record.begun_at),
        "good_backup_id": record.good_backup_id or None,
        "released_at": timestamp(record.released_at),
        "note": record.note,
    }
