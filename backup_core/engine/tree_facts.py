"""What is compared of the entries of a directory, for a whole directory at a time.

These are the *facts* that ``source.describes`` and ``is_unchanged`` look at, once as the disk gives them and once as a
tree has them. Equal facts mean that the tree says just what is there. Everything here is done for each file of each
backup, so the work is left to a few calls that take many entries.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from marshal import dumps
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias

from backup_core.engine.source import HAVE_LINKS, TYPES, Found, group_name, user_name
from backup_core.format.tree import Node, go_mode, unix_mode

_STEADY = 2
"""Version of ``marshal`` in which equal values have equal bytes; later ones tell apart who else refers to a value."""

DIGEST_BYTES = 16
_NONE_SUCH = -1

Row: TypeAlias = tuple[int, ...]
"""The numbers of one entry, in the order of ``_look``. The mode is the one of the disk, ``_NONE_SUCH`` where no entry
of a disk is like it; the size counts for files only, and the number of links not for directories and pipes."""

_look = attrgetter(
    "st_mode", "st_mtime_ns", "st_ctime_ns", "st_uid", "st_gid", "st_ino", "st_dev", "st_size", "st_nlink"
)
_MODE, _UID, _GID, _SIZE, _LINKS = 0, 3, 4, 7, 8
_TYPE_BITS = 0o170000
_owners_of = itemgetter(_UID, _GID)


class Facts(NamedTuple):
    """What is compared of one entry."""

    name: bytes
    row: Row
    user: str
    group: str


def facts_of_node(node: Node) -> Facts:
    """What a tree says of an entry, as far as it is compared."""
    mode = _NONE_SUCH if node.error else _disk_mode(node.type, node.mode)
    row = (
        mode,
        node.mtime_ns,
        node.ctime_ns,
        node.uid,
        node.gid,
        node.inode,
        node.device_id,
        node.size,
        node.links,
    )
    return Facts(node.name, row, node.user, node.group)


def hash_of_tree(entries: Sequence[Facts]) -> bytes:
    """One hash of the facts of all entries of a tree, in their order."""
    owners = {(entry.row[_UID], entry.row[_GID], entry.user, entry.group) for entry in entries}
    return _hash([entry.name for entry in entries], [entry.row for entry in entries], owners)


def hash_of_directory(found: Sequence[Found]) -> bytes:
    """The same of entries as they are on the disk now."""
    rows = _rows(found)
    owners = {(uid, gid, user_name(uid), group_name(gid)) for uid, gid in set(map(_owners_of, rows))}
    return _hash([name for name, _ in found], rows, owners)


def facts_of_directory(found: Sequence[Found]) -> list[Facts]:
    """What is compared of each entry as it is on the disk now."""
    return [
        Facts(name, row, user_name(row[_UID]), group_name(row[_GID]))
        for (name, _), row in zip(found, _rows(found), strict=True)
    ]


def digest_of(entry: Facts) -> bytes:
    """The facts of one entry in ``DIGEST_BYTES``."""
    return blake2b(dumps(tuple(entry), _STEADY), digest_size=DIGEST_BYTES).digest()


def _hash(names: list[bytes], rows: list[Row], owners: Iterable[tuple[int, int, str, str]]) -> bytes:
    # Who owns what is in the rows; the names of all owners follow once.
    return blake2b(dumps((names, rows, sorted(owners)), _STEADY), digest_size=32).digest()


def _rows(found: Sequence[Found]) -> list[Row]:
    rows: list[Row] = [_look(status) for _, status in found]
    for at, row in enumerate(rows):
        if row[_MODE] & _TYPE_BITS != stat.S_IFREG:
            links = row[_LINKS] if TYPES.get(stat.S_IFMT(row[_MODE])) in HAVE_LINKS else 0
            rows[at] = (*row[:_SIZE], 0, links)
    return rows


@lru_cache(maxsize=4096)
def _disk_mode(kind: str, mode: int) -> int:
    """The ``st_mode`` that makes this type and mode of a node."""
    st_mode = unix_mode(mode)
    return st_mode if TYPES.get(stat.S_IFMT(st_mode)) == kind and go_mode(st_mode) == mode else _NONE_SUCH
