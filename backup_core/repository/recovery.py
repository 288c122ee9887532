"""Clearing up what killed processes of this machine, and failed runs of this one, left on the server.

Only files whose names stand in a journal are touched, so nobody else's can be meant.
"""

from __future__ import annotations

from backup_core.errors import NotFound
from backup_core.format.layout import FileKind, file_name, is_id
from backup_core.repository.run_journal import RunJournal
from backup_core.repository.sealed_files import SealedFiles
from backup_core.storage.backend import Backend

_KINDS = {kind.value: kind for kind in (FileKind.INDEX, FileKind.SNAPSHOT, FileKind.LOCK)}


def clear_up_after_broken_runs(backend: Backend, files: SealedFiles, journal: RunJournal) -> int:
    """Remove their locks, and index and snapshot files that arrived cut off; the number of files removed.

    Only right while this process holds no lock: nothing in its journal is under way then. Costs no request when
    nothing was left. A file that arrived whole stays: its process had done all that comes before.
    """
    removed = 0
    journal.take_over()
    for name, size in journal.unfinished_puts().items():
        directory, _, digits = name.partition("/")
        kind = _KINDS.get(directory)
        if kind is None or not is_id(digits):
            journal.end_put(name)  # not a name this program writes: the journal was damaged
        elif kind is FileKind.LOCK or _is_cut_off(backend, file_name(kind, digits), size):
            files.delete(kind, digits)
            removed += 1
        else:
            journal.end_put(name)
    return removed


def _is_cut_off(backend: Backend, name: str, size: int) -> bool:
    try:
        return backend.stat(name).size != size
    except NotFound:
        return False
