"""How SQLite databases and the files beside them are told (sqlite.org/fileformat2.html)."""

from __future__ import annotations

import os
from contextlib import suppress

MAGIC = b"SQLite format 3\0"
"""What every database begins with."""
HEADER_BYTES = 100
LOG, SHARED, JOURNAL = b"-wal", b"-shm", b"-journal"
COMPANY = (LOG, SHARED, JOURNAL)
"""What is added to a database's name for the files beside it: changes that are not in the database yet, what its users
tell each other, and what was before the change under way."""
_VERSIONS = slice(18, 20)
_LEGACY = b"\1\1"


def is_database(beginning: bytes) -> bool:
    """Whether a file that begins so is an SQLite database."""
    return beginning.startswith(MAGIC)


def is_written_in_place(beginning: bytes) -> bool:
    """Whether it is one whose file itself changes with every transaction. Of a database with a log (WAL) beside it,
    the file alone is consistent as long as it stands still."""
    return beginning.startswith(MAGIC) and beginning[_VERSIONS] == _LEGACY


def beginning_of(path: bytes) -> bytes:
    """The header of a file, or less of a shorter one; raises ``OSError``.

    Not to be used on a file that this very process has open as a database: closing any descriptor of it gives back all
    locks that the process has on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return os.read(descriptor, HEADER_BYTES)
    finally:
        os.close(descriptor)


def begins_as_database(path: bytes) -> bool:
    """Whether a file is a database as far as its beginning tells; see ``beginning_of``."""
    with suppress(OSError):
        return is_database(beginning_of(path))
    return False
