"""Mirror runs as documents of ``--json``; see ``documents``."""

from __future__ import annotations

from backup_core.cli.documents import Document, problems
from backup_core.services.mirroring.result import MirrorResult


def mirrored(result: MirrorResult) -> Document:
    """One mirror of ``mirror``."""
    return {
        "client": result.client,
        "path": result.path,
        "location": result.location,
        "outcome": result.outcome.value,
        "created": result.created,
        "copied": list(result.copied),
        "already_there": result.already_there,
        "left_out": dict(result.left_out),
        "blobs": result.blobs,
        "bytes_read": result.bytes_read,
        "bytes_written": result.bytes_written,
        "packs": result.packs,
        "planned_requests": result.planned_requests,
        "requests": sum(result.requests.values()),
        "requests_source": dict(result.requests_source),
        "requests_target": dict(result.requests_target),
        "seconds": round(result.seconds, 3),
        "notes": list(result.notes),
        "problems": problems(result.problems),
        "error": result.error,
    }
