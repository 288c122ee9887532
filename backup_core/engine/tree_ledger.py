"""What this machine remembers of the trees of its last backup, so that a directory without changes is not decoded.

For each tree it has a hash of the *facts* of all entries: what ``source.describes`` and ``is_unchanged`` compare. Who
lists a directory and finds the same hash knows that the earlier tree still says just what is there, but for the trees
of the directories in it, which are known as well. So a walk without changes costs one look at each file, and nothing
that the earlier backup says is read.

The ledger is a sealed file of the local cache: nobody without the key can make one, and one that is missing or damaged
is no ledger. It also names the index files in which all content of its trees was found. As long as the server has all
of those, it has the content, and no chunk needs to be looked up; otherwise the ledger counts for nothing.
"""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b, sha256
from marshal import dumps
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from backup_core.engine.selection import Kept
from backup_core.engine.source import HAVE_LINKS, TYPES, Found, group_name, user_name
from backup_core.errors import AuthenticationFailed, RepositoryError
from backup_core.format.cipher import Sealer
from backup_core.format.ids import ID_BYTES, ids_in
from backup_core.format.tree import Node, go_mode
from backup_core.repository.cache import Cache, write_private
from backup_core.types import IndexId, TreeId

MOST = 200_000
"""Directories that are remembered: some 90 MB of memory. Those beyond are decoded each time."""
_FORMAT = "davault tree ledger 1"
_ROW = struct.Struct("<32s32sQQQI")
"""Tree, facts, files, bytes, others, number of subtrees; their ids follow."""
_STEADY = 2
"""Version of ``marshal`` in which equal values have equal bytes; later ones tell apart who else refers to a value."""


class TreeRecord(NamedTuple):
    """What is remembered of one tree."""

    facts: bytes
    """Hash of the facts of all its entries, in their order."""
    files: int
    size: int
    """Logical bytes of the files."""
    others: int
    """Entries that are neither files nor directories."""
    subtrees: tuple[TreeId, ...]
    """Of its directories, in their order."""


class _Mode(NamedTuple):
    """What a ``st_mode`` means in a tree."""

    kind: str
    mode: int
    sized: int
    """1 where the size counts, else 0; ``linked`` the same for the number of links."""
    linked: int


@lru_cache(maxsize=4096)
def _mode(st_mode: int) -> _Mode:
    kind = TYPES.get(stat.S_IFMT(st_mode), "")
    return _Mode(kind, go_mode(st_mode), int(kind == "file"), int(kind in HAVE_LINKS))


def _packed(*facts: bytes | str | int) -> bytes:
    return dumps(facts, _STEADY)


def facts_of_node(node: Node) -> bytes:
    """What a tree says of an entry, as far as it is compared."""
    return _packed(
        node.name,
        node.type,
        node.mode,
        node.mtime_ns,
        node.ctime_ns,
        node.uid,
        node.gid,
        node.user,
        node.group,
        node.inode,
        node.device_id,
        node.size,
        node.links,
        node.error,
    )


def facts_of_entries(kept: Sequence[Kept]) -> bytes:
    """Hash of the same of entries as they are now."""
    return hash_of([_facts_of(entry.found) for entry in kept])


def _facts_of(found: Found) -> bytes:
    name, status = found
    kind, mode, sized, linked = _mode(status.st_mode)
    uid, gid = status.st_uid, status.st_gid
    return _packed(
        name,
        kind,
        mode,
        status.st_mtime_ns,
        status.st_ctime_ns,
        uid,
        gid,
        user_name(uid),
        group_name(gid),
        status.st_ino,
        status.st_dev,
        status.st_size * sized,
        status.st_nlink * linked,
        "",
    )


def hash_of(facts: Iterable[bytes]) -> bytes:
    """One hash of the facts of all entries."""
    return blake2b(b"".join(facts), digest_size=32).digest()


class TreeLedger:
    """The trees of the last backup, and those of the one under way."""

    def __init__(self, known: Mapping[TreeId, TreeRecord] = MappingProxyType({})) -> None:
        self._known = known
        self.now: dict[TreeId, TreeRecord] = {}
        """The trees of the backup under way."""

    def standing(self, tree: TreeId | None, kept: Sequence[Kept]) -> TreeRecord | None:
        """The record of an earlier tree that describes just these entries of a directory, None when it does not."""
        record = self._known.get(tree) if tree is not None else None
        return record if record is not None and record.facts == facts_of_entries(kept) else None

    def lists(self, tree: TreeId | None) -> bool:
        """Whether all content that a tree refers to is known to be listed by the index."""
        return tree in self._known

    def note(self, tree: TreeId, record: TreeRecord) -> None:
        """Remember a tree of the backup under way."""
        if len(self.now) < MOST:
            self.now[tree] = record


class LedgerFile:
    """Where the ledger of one backup's sources is kept between runs."""

    def __init__(self, cache: Cache, sealer: Sealer, *, sources: Iterable[str]) -> None:
        """``sources`` name what is backed up: another set has another ledger."""
        self._cache = cache
        self._sealer = sealer
        self._name = sha256("\0".join(sources).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def load(self, index_ids: frozenset[IndexId]) -> TreeLedger:
        """What the last backup left, if the server still has all ``index_ids`` that it rests on; else an empty one."""
        with suppress(OSError, RepositoryError, AuthenticationFailed, ValueError, struct.error):
            text = self._sealer.open(self._path().read_bytes())
            head, _, rows = text.partition(b"\n")
            if (asked := json.loads(head))["format"] == _FORMAT and index_ids.issuperset(asked["index"]):
                return TreeLedger(dict(_records(rows)))
        return TreeLedger()

    def save(self, ledger: TreeLedger, index_ids: frozenset[IndexId]) -> None:
        """Keep the trees of a backup that is whole, all content of which is listed by these index files. That it
        cannot be written costs the next run some time, nothing else."""
        head = json.dumps({"format": _FORMAT, "index": sorted(index_ids)}).encode("ascii")
        text = b"".join((head, b"\n", *(_row(tree, record) for tree, record in ledger.now.items())))
        try:
            write_private(self._path(), self._sealer.seal(text), scratch=self._cache.directory("tmp"))
        except (OSError, RepositoryError) as error:
            self._cache.note_failure(error)

    def remove(self) -> None:
        """Have the next run look at everything."""
        with suppress(OSError, RepositoryError):
            self._path().unlink()

    def _path(self) -> Path:
        return self._cache.directory("ledgers") / self._name


def _row(tree: TreeId, record: TreeRecord) -> bytes:
    head = _ROW.pack(tree, record.facts, record.files, record.size, record.others, len(record.subtrees))
    return b"".join((head, *record.subtrees))


def _records(rows: bytes) -> Iterator[tuple[TreeId, TreeRecord]]:
    at = 0
    while at < len(rows):
        tree, facts, files, size, others, count = _ROW.unpack_from(rows, at)
        at += _ROW.size
        end = at + count * ID_BYTES
        subtrees = tuple(map(TreeId, ids_in(rows[at:end])))
        at = end
        yield TreeId(tree), TreeRecord(facts, files, size, others, subtrees)
