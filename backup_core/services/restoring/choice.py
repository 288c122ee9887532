"""The options that every restore takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

Overwrite = Literal["always", "if-changed", "if-newer", "never"]


class RestoreChoice(TypedDict, total=False):
    """Keyword arguments of ``Application.restore``; see ``RecoveryService.request``."""

    backup_id: str | None
    """A backup, instead of a configuration's newest one."""
    at: datetime | None
    """The newest backup of the configuration at or before this moment (naive: local time)."""
    patterns: Sequence[str]
    """Only what matches one of these; empty: everything."""
    exclude: Sequence[str]
    """Nothing that matches one of these."""
    listed: Sequence[bytes] | None
    """Only these paths, besides what ``patterns`` select; None: no such list."""
    case_insensitive: bool
    """Patterns ignore case."""
    overwrite: Overwrite
    """What becomes of files that exist at the target."""
    delete: bool
    """Remove what lies in the restored directories and is not in the backup."""
    verify: bool
    """Read everything back from disk afterwards."""
