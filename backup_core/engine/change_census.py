"""What changed between two backups, counted on the way, for telling disasters from ordinary days (``anomaly``).

Unchanged files cost nothing here but a look at whether a name is new. Whether content compresses is not measured: the
index says how every chunk was stored. That is looked up at the end, for the first chunk of a sample of the files that
changed, so that its cost has a bound however much changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from backup_core.format.cipher import OVERHEAD
from backup_core.format.tree import Node
from backup_core.repository.index import Index
from backup_core.results import ChangeFigures
from backup_core.types import BlobId, BlobType

LARGEST_SAMPLE = 2048
"""Files of each kind whose chunks are looked up."""
MOST_SUFFIXES = 10_000
"""Different suffixes that are counted; files with others count as having none."""
MOST_TOLD = 30
"""Suffixes that the figures of a run name."""
SMALLEST_TELLING = 256
"""Bytes of content from which compression says something."""
COMPRESSIBLE = 0.9
"""A chunk that was stored in at most this share of its size was compressible."""
HARD = 0.98
"""A chunk that takes at least this share of its size, as ciphertext always does, is incompressible."""

_DIGITS = bytes.maketrans(b"0123456789", b"#" * 10)
_T = TypeVar("_T")


class Sample(Generic[_T]):
    """Every n-th of many things, with n such that they are at most ``LARGEST_SAMPLE``."""

    def __init__(self) -> None:
        self.seen = 0
        self.kept: list[_T] = []
        self._step = 1

    def add(self, thing: _T) -> None:
        """Count one, and keep it if it is its turn."""
        if self.seen % self._step == 0:
            self.kept.append(thing)
            if len(self.kept) > LARGEST_SAMPLE:
                self.kept = self.kept[::2]
                self._step *= 2
        self.seen += 1

    def scaled(self, count: int) -> int:
        """As many of all as ``count`` are of the sample."""
        return round(count * self.seen / len(self.kept)) if self.kept else 0


class ChangeCensus:
    """Counts what one walk finds changed."""

    def __init__(self) -> None:
        self._rewritten: Sample[tuple[BlobId, BlobId]] = Sample()
        """First chunks, before and now, of files whose content changed."""
        self._renamed: Sample[tuple[BlobId, BlobId]] = Sample()
        """The same of files that bear another name now."""
        self._new: Sample[BlobId] = Sample()
        """First chunks of new files."""
        self._suffixes: Counter[bytes] = Counter()
        self._renamed_to: Counter[bytes] = Counter()
        self._origins: dict[bytes, BlobId] = {}
        """Path of a file that seems to be an earlier one under a new name -> that one's first chunk."""
        self.bytes_read = 0
        """Logical bytes of all files that were read."""

    def directory(self, prefix: bytes, before: Mapping[bytes, Node], now: Collection[bytes]) -> None:
        """A directory in which some names are new. Where an earlier file is gone, and a new one bears its name with
        another suffix or one more, the new one is taken for the earlier one renamed."""
        gone = [name for name in before if name not in now and before[name].type == "file"]
        if not gone:
            return
        by_stem: dict[bytes, Node] = {}
        for name in gone:
            by_stem[name] = before[name]
            by_stem.setdefault(_stem(name), before[name])
        for name in now:
            if name in before:
                continue
            origin = by_stem.get(_stem(name))
            if origin is not None:
                self._renamed_to[suffix_of(name)] += 1
                if origin.content and len(self._origins) < LARGEST_SAMPLE:
                    self._origins[prefix + name] = origin.content[0]

    def file(self, path: bytes, name: bytes, node: Node, old: Node | None) -> None:
        """A file that was read."""
        content = node.content or ()
        self.bytes_read += node.size
        if old is None or old.type != "file":
            suffix = suffix_of(name)
            if suffix in self._suffixes or len(self._suffixes) < MOST_SUFFIXES:
                self._suffixes[suffix] += 1
            if content:
                self._new.add(content[0])
            origin = self._origins.pop(path, None)
            if origin is not None and content:
                self._renamed.add((origin, content[0]))
        elif content != (old.content or ()):
            # Where either is empty, the pair says nothing of compression; it still is a rewritten file.
            self._rewritten.add(((old.content or content)[0], (content or old.content or ())[0]))

    def settle(
        self,
        index: Index,
        *,
        previous_files: int | None,
        met: int,
        data_added: int,
        compressed: bool = True,
        selection: str = "",
    ) -> ChangeFigures:
        """The figures of a run whose packs are all known to ``index``.

        ``previous_files``: how many files the backup compared with has, None when unknown; ``met`` of them are there.
        Without ``compressed`` nobody can tell what became incompressible.
        """
        hardened = comparable = 0
        for sample in (self._rewritten, self._renamed) if compressed else ():
            judged = [_hardening(index, *pair) for pair in sample.kept]
            hardened += sample.scaled(judged.count(True))
            comparable += sample.scaled(len(judged) - judged.count(None))
        stored = [_share(index, blob) for blob in self._new.kept]
        return ChangeFigures(
            removed=None if previous_files is None else max(0, previous_files - met),
            rewritten=self._rewritten.seen,
            hardened=hardened,
            comparable=comparable,
            new_hard=self._new.scaled(sum(share is not None and share >= HARD for share in stored)),
            fresh=min(1.0, round(data_added / self.bytes_read, 4)) if self.bytes_read else 0.0,
            suffixes=_told(self._suffixes),
            renamed=_told(self._renamed_to),
            selection=selection,
        )


def suffix_of(name: bytes) -> bytes:
    """What stands after the last dot, in lower case and with "#" for each digit, so that the numbers and dates of
    rotated files are alike; empty when there is none."""
    _, dot, suffix = name.lstrip(b".").rpartition(b".")
    return suffix.lower().translate(_DIGITS)[:24] if dot else b""


def _stem(name: bytes) -> bytes:
    stem, dot, _ = name.rpartition(b".")
    return stem if dot and stem else name


def _hardening(index: Index, before: BlobId, now: BlobId) -> bool | None:
    """Whether compressible content became incompressible; None when it was not compressible, or nobody can tell."""
    old, new = _share(index, before), _share(index, now)
    if old is None or new is None or old > COMPRESSIBLE:
        return None
    return new >= HARD


def _share(index: Index, blob: BlobId) -> float | None:
    """Stored bytes of a chunk as a share of its size; None when it is unknown, or too small to tell."""
    place = index.find(blob, BlobType.DATA)
    if place is None:
        return None
    stored = place.length - OVERHEAD
    size = place.uncompressed_length or stored
    return stored / size if size >= SMALLEST_TELLING else None


def _told(counts: Counter[bytes]) -> dict[str, int]:
    most: Iterable[tuple[bytes, int]] = counts.most_common(MOST_TOLD)
    return {suffix.decode("utf-8", "backslashreplace"): count for suffix, count in most}
