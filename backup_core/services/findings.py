"""What the services hand out of what they looked at: validations, servers, findings of ``doctor`` (see ``records``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True)
class BackupValidationResult:
    """What checking one backup found."""

    backup_id: str
    is_valid: bool
    files_checked: int
    files_passed: int
    errors: tuple[str, ...]
    """A sentence for each damaged or missing thing, naming the file and the object behind it."""
    warnings: tuple[str, ...] = ()
    depth: str = "quick"
    """"quick" (everything is there), "data" (and its content is right) or "restore" (really restored, compared)."""
    validated_at: datetime | None = None
    """Naive local time."""
    packs_checked: int = 0
    bytes_read: int = 0
    """Stored bytes that were downloaded and verified."""
    damaged_files: Mapping[str, str] = field(default_factory=dict)
    """Path -> why."""
    seconds: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests by method, of the whole validation when several backups were checked together."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a first conversation with a client's server showed."""

    client: str
    location: str
    reachable: bool
    seconds: float
    """Of the first answer."""
    error: str = ""
    used: int | None = None
    """Stored bytes of the account as the server counts them, None when it does not say."""
    available: int | None = None
    """Bytes still free, None when the server does not say."""
    checks: Mapping[str, str] = field(default_factory=dict)
    """Name of a check -> "ok" or what is wrong."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What measuring a client's server found out."""

    client: str
    location: str
    measured_at: datetime
    score: int
    """0 to 100."""
    findings: tuple[tuple[str, str, str], ...]
    """(check, "good", "fair", "poor" or "unknown", what was seen)."""
    numbers: Mapping[str, Any]
    """As ``storage.probe_report.ProbeReport`` names them."""


class FindingLevel(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``."""

    level: FindingLevel
    subject: str
    """What was looked at: "home", "catalogue", "client cloud", "configuration 重要文档", ..."""
    message: str
    advice: str = ""
    """What to do; "" when nothing."""
