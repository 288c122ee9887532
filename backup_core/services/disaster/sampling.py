"""A sample of a backup's files: another one each time, the same for the same seed."""

from __future__ import annotations

import hashlib
import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.recovery_checks import FileCheck, SqliteCheck
from backup_core.engine.find import iterate_files
from backup_core.errors import BackupError, Cancelled
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.services.disaster.choice import Choice

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService

MOST_FILES = 1000
"""Of one step: every file is a pattern of its own."""
_MAGIC = re.compile(r"([\\*?\[\]!])")


def sampled(recovery: RecoveryService, choice: Choice, *, files: int, seed: str, cancel: CancelToken) -> Choice:
    """The same choice for ``files`` files only, and for those that the step's checks look at."""
    request = choice.request
    if request is None:
        return choice
    tracker = ProgressTracker(no_progress, clock=recovery.backup_service.clock)
    try:
        with recovery.fallback.reached(request.opened_by, request.backup, tracker=tracker, cancel=cancel) as reached:
            found = iterate_files(
                reached.repository, reached.snapshot, request.patterns, exclude=request.exclude, cancel=cancel
            )
            paths = [path for path, _ in found]
    except Cancelled:
        raise
    except BackupError as error:
        return replace(choice, request=None, problem=str(error))
    drawn = heapq.nsmallest(files, paths, key=lambda path: hashlib.sha256(seed.encode() + path).digest())
    patterns = [literal(os.fsdecode(path)) for path in sorted(drawn)]
    return replace(choice, request=replace(request, patterns=(*patterns, *_checked(choice))))


def literal(path: str) -> str:
    """A pattern that matches this path and no other."""
    return _MAGIC.sub(r"\\\1", path)


def _checked(choice: Choice) -> Iterator[str]:
    for check in choice.step.checks:
        if isinstance(check, (FileCheck, SqliteCheck)) and not Path(check.path).is_absolute():
            yield literal(check.path.removeprefix("{target}/"))
