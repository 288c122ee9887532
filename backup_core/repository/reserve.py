"""A little room set aside for the day on which the server is full.

To give room back one needs some: a lock is a file, and so is the index that no longer lists what is removed. So a new
repository gets a file that means nothing, and that is removed when a server takes no more; pruning then finds room for
its first step, and each step gives back more than it took. When a prune has ended, the room is set aside again.
"""

from __future__ import annotations

from backup_core.errors import NotFound, QuotaExceeded
from backup_core.repository.sealed_records import DIRECTORY
from backup_core.storage.backend import Backend

NAME = f"{DIRECTORY}/reserve"
SIZE = 256 * 1024
"""Bytes: more than a lock and one index file of thousands of blobs."""


def set_aside(backend: Backend) -> bool:
    """Take the room; False when the server has none left (which is no error: nothing depends on it today)."""
    try:
        backend.put(NAME, bytes(SIZE))
    except QuotaExceeded:
        return False
    return True


def is_there(backend: Backend) -> bool:
    """Whether room is set aside."""
    try:
        return backend.stat(NAME).size > 0
    except NotFound:
        return False


def spend(backend: Backend) -> bool:
    """Give the room back to the server; False when none was set aside."""
    there = is_there(backend)
    if there:
        backend.delete(NAME)
    return there
