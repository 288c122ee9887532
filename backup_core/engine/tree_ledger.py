"""What this machine remembers of the trees of its last backup, so that a directory without changes is not decoded.

For each tree it has a hash of the *facts* of all entries (``tree_facts``). Who lists a directory and finds the same
hash knows that the earlier tree still says just what is there, but for the trees of the directories in it, which are
known as well. So a walk without changes costs one look at each file, and nothing that the earlier backup says is read.
Where the hash is another one, a short digest of each entry tells which of them have changed: only their nodes are
decoded and made anew (``tree_splicing``).

The ledger is a sealed file of the local cache: nobody without the key can make one, and one that is missing or damaged
is no ledger. It also names the index files in which all content of its trees was found. As long as the server has all
of those, it has the content, and no chunk needs to be looked up; otherwise the ledger counts for nothing.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from backup_core.engine.source import Found
from backup_core.engine.tree_facts import hash_of_directory
from backup_core.errors import AuthenticationFailed, RepositoryError
from backup_core.format.cipher import Sealer
from backup_core.format.ids import ID_BYTES, ids_in
from backup_core.repository.cache import Cache, write_private
from backup_core.types import IndexId, TreeId

MOST = 200_000
"""Directories that are remembered: some 90 MB of memory. Those beyond are decoded each time."""
MOST_DIGESTS = 32 << 20
"""Bytes of digests of single entries: two million. Trees beyond are decoded whole when they change."""
_FORMAT = "davault tree ledger 3"
"""Another one is due whenever a node is encoded otherwise than before, or other facts are compared."""
_ROW = struct.Struct("<32s32sQQQII")
"""Tree, facts, files, bytes, others, number of subtrees, bytes of digests; those two follow."""


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
    digests: bytes = b""
    """``tree_facts.digest_of`` each entry, in their order, of a tree that was encoded here and in this zone: its nodes
    can go into another tree as they are. Empty for others."""


class TreeLedger:
    """The trees of the last backup, and those of the one under way."""

    def __init__(self, known: Mapping[TreeId, TreeRecord] = MappingProxyType({})) -> None:
        self._known = known
        self.now: dict[TreeId, TreeRecord] = {}
        """The trees of the backup under way."""
        self._room = MOST_DIGESTS

    def standing(self, tree: TreeId | None, found: Sequence[Found]) -> TreeRecord | None:
        """The record of an earlier tree that describes just these entries of a directory, None when it does not."""
        record = self.known(tree)
        return record if record is not None and record.facts == hash_of_directory(found) else None

    def known(self, tree: TreeId | None) -> TreeRecord | None:
        """What is remembered of an earlier tree."""
        return self._known.get(tree) if tree is not None else None

    def lists(self, tree: TreeId | None) -> bool:
        """Whether all content that a tree refers to is known to be listed by the index."""
        return tree in self._known

    def note(self, tree: TreeId, record: TreeRecord) -> None:
        """Remember a tree of the backup under way."""
        if len(self.now) < MOST:
            self._room -= len(record.digests)
            self.now[tree] = record if self._room >= 0 else record._replace(digests=b"")


class LedgerFile:
    """Where the ledger of one backup's sources is kept between runs."""

    def __init__(self, cache: Cache, sealer: Sealer, *, sources: Iterable[str], zone: str) -> None:
        """``sources`` name what is backed up: another set has another ledger. ``zone`` is the mark of the zone in which
        times are written."""
        self._cache = cache
        self._sealer = sealer
        self._zone = zone
        self._name = sha256("\0".join(sources).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def load(self, index_ids: frozenset[IndexId]) -> TreeLedger:
        """What the last backup left, if the server still has all ``index_ids`` that it rests on; else an empty one."""
        with suppress(OSError, RepositoryError, AuthenticationFailed, ValueError, struct.error):
            text = self._sealer.open(self._path().read_bytes())
            head, _, rows = text.partition(b"\n")
            if (asked := json.loads(head))["format"] == _FORMAT and index_ids.issuperset(asked["index"]):
                return TreeLedger(dict(_records(rows, with_digests=asked["zone"] == self._zone)))
        return TreeLedger()

    def save(self, ledger: TreeLedger, index_ids: frozenset[IndexId]) -> None:
        """Keep the trees of a backup that is whole, all content of which is listed by these index files. That it
        cannot be written costs the next run some time, nothing else."""
        head = json.dumps({"format": _FORMAT, "zone": self._zone, "index": sorted(index_ids)}).encode("ascii")
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
    lengths = len(record.subtrees), len(record.digests)
    head = _ROW.pack(tree, record.facts, record.files, record.size, record.others, *lengths)
    return b"".join((head, *record.subtrees, record.digests))


def _records(rows: bytes, *, with_digests: bool) -> Iterator[tuple[TreeId, TreeRecord]]:
    at = 0
    while at < len(rows):
        tree, facts, files, size, others, count, length = _ROW.unpack_from(rows, at)
        begin = at + _ROW.size
        end = begin + count * ID_BYTES
        at = end + length
        subtrees = tuple(map(TreeId, ids_in(rows[begin:end])))
        digests = rows[end:at] if with_digests else b""
        yield TreeId(tree), TreeRecord(facts, files, size, others, subtrees, digests)
