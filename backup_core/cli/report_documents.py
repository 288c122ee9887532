"""The documents of ``usage``, ``stats`` and ``report``: every key is listed in docs/cli.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from backup_core.cli.documents import Document
from backup_core.cli.units import timestamp

if TYPE_CHECKING:
    from backup_core.catalogue.backups import KnownSpace
    from backup_core.reports.forecast import Forecast
    from backup_core.reports.records import ClientFigures, Figures
    from backup_core.reports.report import Report
    from backup_core.services.listings import StorageUsage
    from backup_core.services.reporting.server_bytes import ServerBytes


def usage(found: StorageUsage, spaces: Sequence[KnownSpace], measured: Sequence[ServerBytes] | None) -> Document:
    """The answer of ``usage``."""
    return {
        "total_backups": found.total_backups,
        "total_size": found.total_size,
        "logical_size": found.logical_size,
        "oldest_backup": timestamp(found.oldest_backup),
        "newest_backup": timestamp(found.newest_backup),
        "by_config": {name: plain(info) for name, info in found.by_config.items()},
        "accounts": [
            {"client": row.client, "used": row.used, "available": row.available, "asked_at": timestamp(row.at)}
            for row in spaces
        ],
        "measured": None if measured is None else [_measured(one) for one in measured],
    }


def _measured(one: ServerBytes) -> Document:
    return {
        "location": one.location,
        "configurations": list(one.configurations),
        "total": one.total,
        "bytes_by_part": one.bytes_by_part,
        "files_by_part": one.files_by_part,
        "complete": one.complete,
        "known_packs": one.known_packs,
    }


def plain(value: Any) -> Any:
    """Moments as text, in mappings and lists as well."""
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def report(found: Report) -> Document:
    """The answer of ``report``."""
    return {
        "made_at": timestamp(found.made_at),
        "overall": _figures(found.overall),
        "configurations": [_figures(figures) for figures in found.configurations],
        "clients": [_client(client) for client in found.clients],
        "budget": _forecast(found.budget),
        "attention": [
            {"serious": one.serious, "subject": one.subject, "message": one.message, "advice": one.advice}
            for one in found.attention
        ],
        "months": {name: _rows(found, name) for name in ("", *(one.name for one in found.configurations))},
    }


def _figures(one: Figures) -> Document:
    return {
        "name": one.name,
        "backups": one.backups,
        "newest_at": timestamp(one.newest_at),
        "age_seconds": _seconds(one.age),
        "rpo_seconds": _seconds(one.rpo),
        "rpo_met": one.rpo_met,
        "stored_bytes": one.stored_bytes,
        "kept_bytes": one.kept_bytes,
        "newest_bytes": one.newest_bytes,
        "space_ratio": _rounded(one.space_ratio),
        "dedup_ratio": _rounded(one.dedup_ratio),
        "compression_ratio": _rounded(one.compression_ratio),
        "growth_per_day": _rounded(one.growth_per_day),
        "runs": one.runs,
        "failed_runs": one.failed_runs,
        "success_rate": _rounded(one.success_rate),
        "last_error": one.last_error,
        "typical_seconds": _rounded(one.typical_seconds),
        "requests": one.requests,
        "validated_at": timestamp(one.validated_at),
        "validated_well": one.validated_well,
    }


def _client(one: ClientFigures) -> Document:
    return {
        "name": one.name,
        "configurations": list(one.configurations),
        "stored_bytes": one.stored_bytes,
        "used_bytes": one.used_bytes,
        "available_bytes": one.available_bytes,
        "room": _forecast(one.room),
        "requests": one.requests,
        "window_requests": one.window_requests,
        "window_seconds": _seconds(one.window),
        "busiest_requests": _rounded(one.busiest_requests),
        "busiest_at": timestamp(one.busiest_at),
    }


def _forecast(one: Forecast | None) -> Document | None:
    if one is None:
        return None
    return {
        "limit_bytes": one.limit_bytes,
        "stored_bytes": one.stored_bytes,
        "growth_per_day": _rounded(one.growth_per_day),
        "learned_days": one.learned_days,
        "probability": _rounded(one.probability),
        "likely": _day(one.likely),
        "early": _day(one.early),
        "late": _day(one.late),
        "reached": one.reached,
    }


def _rows(found: Report, scope: str) -> list[Document]:
    rows: list[Document] = []
    for month in found.monthly[scope].to_dict("records"):
        values = {str(name): value for name, value in month.items() if name != "period"}
        rows.append(
            {"month": f"{month['period']:%Y-%m}"}
            | {name: _rounded(value) if name.endswith("ratio") else int(value) for name, value in values.items()}
        )
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 3)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else round(duration.total_seconds(), 3)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
