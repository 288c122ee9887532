"""Reading restored files back from the disk."""

from __future__ import annotations

import contextlib
import os

from backup_core.engine.restore_content import Places
from backup_core.engine.restore_entry import NO_LINK, Action, PlanEntry
from backup_core.engine.restore_existing import Blob, matching_blobs
from backup_core.engine.restore_ledger import Ledger
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.target import Directories, open_for_reading
from backup_core.errors import RestoreError
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.types import BlobType

_LEFT_ALONE = (Action.SKIP, Action.FAIL)


def verify_files(
    places: Places,
    plan: RestorePlan,
    *,
    root: int,
    ledger: Ledger,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> None:
    """Compare every file of the plan that should be right with its hashes; failures go to the ledger.

       ``root`` is the target's descriptor.
    Other names of a file are not read again. Raises ``Cancelled``.
    """
    entries = plan.entries
    with contextlib.closing(Directories(root, lambda n: (entries[n].parent, entries[n].name))) as directories:
        for number, entry in enumerate(entries):
            if entry.type != "file" or entry.action in _LEFT_ALONE or ledger.has_failed(number):
                continue
            cancel.check()
            # What was kept under a verifying plan has been read a moment ago.
            read_before = plan.verify and entry.action in (Action.KEEP, Action.UPDATE)
            if entry.link != NO_LINK or read_before or _is_right(places, entry, directories, cancel):
                ledger.verified += 1
            else:
                ledger.fail(number, "what was read back from the disk is not what the backup holds")
            progress.advance(files=1, bytes_=entry.size)


def _is_right(places: Places, entry: PlanEntry, directories: Directories, cancel: CancelToken) -> bool:
    found = [places.find(blob, BlobType.DATA) for blob in entry.blobs()]
    blobs = [Blob(b, -1 if p is None else p.plaintext_length) for b, p in zip(entry.blobs(), found, strict=True)]
    try:
        descriptor = open_for_reading(directories.handle(entry.parent), entry.name)
    except (OSError, RestoreError):
        return False
    try:
        _drop_from_memory(descriptor)
        if os.fstat(descriptor).st_size != entry.size:
            return False
        return all(right for _, right in matching_blobs(descriptor, blobs, cancel))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _drop_from_memory(descriptor: int) -> None:
    """Have the next reads come from the disk and not from the system's memory of what was just written."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
