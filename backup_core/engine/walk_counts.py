"""What a walk through the sources has seen, in numbers."""

from __future__ import annotations

from backup_core.deferred import dataclass


@dataclass(slots=True)
class WalkCounts:
    """What was seen. "Other" are entries that are neither files nor directories."""

    files_new: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    others_new: int = 0
    others_changed: int = 0
    others_unchanged: int = 0
    directories: int = 0
    total_size: int = 0
    """Bytes of all files."""
    read_again: int = 0
    """Unchanged files whose content the repository no longer has."""
