"""SQLite databases among the files of a source, and what lies beside them.

A database that is in use has company: ``NAME-wal`` holds changes that are not in the file yet, ``NAME-shm`` what its
users tell each other, ``NAME-journal`` what was before the change under way (sqlite.org/fileformat2.html, "File
Overview"). A consistent copy has all of it inside, so the company is left out of the backup: restored beside a copy, it
would be applied to a database that it does not belong to.

Whether a database is unchanged is seen from its own facts and from its log: while that holds anything, the database
counts as changed (``ctime``) when the log was written, and is recorded so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter

from backup_core.engine.live.sqlite_files import COMPANY, LOG, begins_as_database
from backup_core.engine.selection import Kept
from backup_core.engine.source import Found
from backup_core.format.tree import Node

_PLAIN_FIELDS = 10
_SIZE = 6
_NAMED_FIELDS = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_rdev")
_name_of: Callable[[Found], bytes] = itemgetter(0)
_MORE_FIELDS = ("st_blksize", "st_blocks")


def has_company(listing: Sequence[Found]) -> bool:
    """Whether a directory holds anything that may lie beside a database, in one look at all names together."""
    names = b"/".join(map(_name_of, listing)) + b"/"
    return any(suffix + b"/" in names for suffix in COMPANY)


class LiveDatabases:
    """Sorts out, directory by directory, which files are databases in use and which are their company."""

    def settle(
        self, prefix: bytes, listing: Sequence[Found], kept: list[Kept], before: Mapping[bytes, Node]
    ) -> tuple[list[Kept], frozenset[bytes]]:
        """What of ``kept`` stays, and the names in it that are databases with company.

        ``listing`` is all that lies in the directory whose entries' paths begin with ``prefix``; ``before`` what the
        backup that is compared with has in it.
        """
        company = {found.name: found.status for found in listing if found.name.endswith(COMPANY)}
        if not company:
            return kept, frozenset()
        wanted = {name.rpartition(b"-")[0] for name in company}
        entries = {k.found.name: k.found.status for k in kept if k.found.name in wanted}
        databases = {name for name, status in entries.items() if _is_database_in_use(prefix + name, status)}
        if not databases:
            return kept, frozenset()
        left_out = {name + suffix for name in databases for suffix in COMPANY}
        settled = []
        for entry in kept:
            name, status = entry.found
            if name in databases:
                status = _effective(status, company.get(name + LOG), before.get(name))
                settled.append(entry._replace(found=Found(name, status)))
            elif name not in left_out or not stat.S_ISREG(status.st_mode):
                settled.append(entry)
        return settled, frozenset(databases)

    def had_beside(self, prefix: bytes, name: bytes, listing: Sequence[Found]) -> bool:
        """Whether ``name``, which was listed and is gone, belonged to a database in the same directory.

        A journal comes and goes with every transaction, and would have been left out in any case.
        """
        owner, dash, suffix = name.rpartition(b"-")
        if dash + suffix not in COMPANY:
            return False
        return any(found.name == owner and _is_database_in_use(prefix + owner, found.status) for found in listing)

    def settle_one(self, path: bytes, status: os.stat_result, old: Node | None) -> tuple[os.stat_result, bool]:
        """The same for a file that is a source itself: its facts, and whether it is a database with company."""
        company = {}
        for suffix in COMPANY if stat.S_ISREG(status.st_mode) else ():
            with suppress(OSError):
                company[suffix] = os.lstat(path + suffix)
        if not company or not _is_database_in_use(path, status):
            return status, False
        return _effective(status, company.get(LOG), old), True


def _is_database_in_use(path: bytes, status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and (_is_ours(status) or begins_as_database(path))


def _is_ours(status: os.stat_result) -> bool:
    """Whether this process has the file open.

    Then it must not be opened and closed beside SQLite, see ``beginning_of``. With such company beside it, it can only
    be a database.
    """
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                ours = os.fstat(int(name))
                if (ours.st_dev, ours.st_ino) == (status.st_dev, status.st_ino):
                    return True
    return False


def _effective(status: os.stat_result, log: os.stat_result | None, old: Node | None) -> os.stat_result:
    """The facts of a database together with its log.

    The copy in the repository has another length than the file while changes are only in the log; when nothing else
    has changed since ``old``, that length is the one to compare with.
    """
    changed = status.st_ctime_ns
    if log is not None and log.st_size:
        # Not its ctime: SQLite run by root sets the owner of a log anew whenever it opens one.
        changed = max(changed, log.st_mtime_ns)
    size = status.st_size
    if old is not None and old.type == "file":
        facts = (old.inode, old.mtime_ns, old.ctime_ns)
        size = old.size if facts == (status.st_ino, status.st_mtime_ns, changed) else size
    named = {name: getattr(status, name) for name in (*_NAMED_FIELDS, *_MORE_FIELDS) if hasattr(status, name)}
    named |= {"st_ctime_ns": changed, "st_ctime": changed / 1e9}
    plain = list(status[:_PLAIN_FIELDS])
    plain[_SIZE] = size
    return os.stat_result(plain, named)
