"""Reading a sample as a backup would, and reckoning from it what all will take.

Content is cut, hashed, looked up in the repository's index, and compressed; nothing is stored. What is known of the
format adds up to the rest: each blob costs a box around it, a line in its pack's header, a line in an index file, and
its id in the directory it belongs to.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from backup_core.deferred import dataclass
from backup_core.engine.estimating.sample import Candidate, SizeSample, Stratum, lot
from backup_core.format.chunker import MAX, Chunker
from backup_core.format.cipher import OVERHEAD
from backup_core.format.compression import Compressor
from backup_core.format.ids import blob_id
from backup_core.format.pack import entry_size
from backup_core.progress import CancelToken
from backup_core.types import BlobId, BlobType

READ_AT_MOST = 128 * 1024 * 1024
"""Bytes of the source that are read."""

_AT_LEAST = 2 * 1024 * 1024
"""Bytes that each order of magnitude may have of it."""

_STRETCH = 2 * 1024 * 1024
"""Bytes of a large file that are read at a time, in as many places as there may be."""
_ALIGNED_STRETCH = 2 * MAX
"""The same, where chunks may be in the repository already: behind the first cut they are the same as in the file."""

_FINGERPRINTED = 1 << 17
"""Bytes from which copies are told by a few places of files of the same size."""
_PLACES = 4
_PLACE = 8192
"""Bytes looked at in each place."""

_INDEX_LINE = 46
"""Bytes of an index file for each blob, compressed: the id alone has 32 that cannot be compressed."""
_ID_IN_TREE = 36
"""Bytes that a blob's id adds to a directory's text, compressed."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class KnownBlobs(Protocol):
    """Tells what a repository holds; its index does."""

    def contains(self, blob: BlobId, kind: BlobType) -> bool:
        """Whether a blob of this type is stored."""
        ...

    def __len__(self) -> int:
        """How many are stored."""
        ...


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What a backup would store, about."""

    stored_bytes: int
    """On the server: packs and index files."""
    new_bytes: int
    """Plaintext of file content that the repository does not hold yet, copies counted once."""
    data_pack_bytes: int
    """Of the stored bytes, those in packs of file content."""
    tree_pack_bytes: int
    blobs: int
    """New ones, of files and directories."""
    bytes_read: int
    """Of the source, for this."""
    bytes_to_read: int
    """Of the source, that the backup itself would read."""


@dataclass(slots=True)
class _Found:
    """What some of the files of a stratum came to."""

    plain: int = 0
    """Bytes looked at."""
    chunks: int = 0
    new_plain: int = 0
    new_chunks: int = 0
    packed: int = 0
    """Bytes of the new chunks' boxes."""
    headers: int = 0

    def count_copies(self, share: float) -> None:
        """So much of what these stand for are copies: they have chunks, but no new ones."""
        self.new_plain = round(self.new_plain * (1 - share))
        self.new_chunks = round(self.new_chunks * (1 - share))
        self.packed = round(self.packed * (1 - share))
        self.headers = round(self.headers * (1 - share))


class Appraiser:
    """Takes note of all that a backup would store; ``appraise`` once."""

    def __init__(self, known: KnownBlobs, *, seed: int, level: int | None, cancel: CancelToken) -> None:
        """``seed`` of the chunker, ``level`` of compression (None: none)."""
        self._known = known
        self._aligned = len(known) > 0
        self._chunker = Chunker(seed)
        self._compressor = None if level is None else Compressor(level)
        self._tree_compressor = Compressor(level or 3)
        self._cancel = cancel
        self._sample = SizeSample()
        self._seen: set[BlobId] = set()
        self._trees: set[BlobId] = set()
        self._tree_bytes = 0
        self._read = 0

    def add_file(self, path: bytes, size: int) -> None:
        """A file whose content would be read."""
        self._sample.add(path, size)

    def add_tree(self, text: bytes) -> BlobId:
        """A directory's text, complete but for the ids of content that nobody has read; its id so far."""
        tree = blob_id(text)
        if tree not in self._trees and not self._known.contains(tree, BlobType.TREE):
            self._trees.add(tree)
            frame = self._tree_compressor.compress(text)
            self._tree_bytes += len(text if frame is None else frame) + OVERHEAD + entry_size(1)
        return tree

    def appraise(self) -> Appraisal:
        """Read the sample, and reckon. Files that cannot be read count like those that can."""
        data = new = chunks = new_chunks = 0.0
        for stratum in self._sample.strata.values():
            found = self._look_at(stratum)
            if found.plain:
                scale = stratum.bytes / found.plain
                data += scale * (found.packed + found.headers)
                new += scale * found.new_plain
                chunks += scale * found.chunks
                new_chunks += scale * found.new_chunks
        trees = self._tree_bytes + _ID_IN_TREE * chunks
        blobs = new_chunks + len(self._trees)
        return Appraisal(
            stored_bytes=round(data + trees + _INDEX_LINE * blobs),
            new_bytes=round(new),
            data_pack_bytes=round(data),
            tree_pack_bytes=round(trees) if self._trees else 0,
            blobs=round(blobs),
            bytes_read=self._read,
            bytes_to_read=self._sample.bytes,
        )

    def _look_at(self, stratum: Stratum) -> _Found:
        share = max(_AT_LEAST, READ_AT_MOST * stratum.bytes // max(1, self._sample.bytes))
        found = _Found()
        if stratum.smallest < _FINGERPRINTED:
            for path, size in stratum.sample(share):
                for content in self._parts(path, size, size):
                    self._take(content, found, whole=True)
            return found
        # Copies among large files are found without reading them, so that few of the others need be read.
        remembered = stratum.sample(stratum.bytes)
        single = self._without_copies(remembered)
        stretch = _ALIGNED_STRETCH if self._aligned else _STRETCH
        chosen: list[Candidate] = []
        left = share
        for file in sorted(single, key=_by_lot):
            if chosen and left < min(file.size, stretch):
                break
            chosen.append(file)
            left -= min(file.size, stretch)
        for path, size in chosen:
            for content in self._parts(path, size, share // len(chosen)):
                self._take(content, found, whole=len(content) == size)
        copies = 1 - sum(size for _, size in single) / sum(size for _, size in remembered)
        found.count_copies(copies)
        return found

    def _without_copies(self, files: Sequence[Candidate]) -> list[Candidate]:
        """One of each set of files that have the same size, and the same bytes in a few places."""
        sizes = Counter(size for _, size in files)
        single: dict[tuple[int, bytes], Candidate] = {}
        for file in files:
            self._cancel.check()
            mark = self._fingerprint(file) if sizes[file.size] > 1 else b""
            single.setdefault((file.size, mark), file)
        return list(single.values())

    def _fingerprint(self, file: Candidate) -> bytes:
        with _opened(file.path) as descriptor:
            if descriptor is None:
                return file.path
            places = [file.size * part // (_PLACES + 1) for part in range(_PLACES + 1)]
            return blob_id(b"".join(os.pread(descriptor, _PLACE, place) for place in places))

    def _parts(self, path: bytes, size: int, share: int) -> Iterator[memoryview]:
        """The content of a file, or of stretches evenly spread over it; nothing when it cannot be read."""
        with _opened(path) as descriptor:
            if descriptor is None:
                return
            length = min(size, _ALIGNED_STRETCH if self._aligned else _STRETCH)
            count = max(1, min(share, size) // length)
            for number in range(count):
                with suppress(OSError):
                    begin = (size - length) * (2 * number + 1) // (2 * count)
                    yield memoryview(os.pread(descriptor, length, begin))

    def _take(self, content: memoryview, found: _Found, *, whole: bool) -> None:
        self._read += len(content)
        cuts = list(self._chunker.cuts(content)) if content else []
        for offset, length in cuts if whole or len(cuts) < 3 else cuts[1:-1]:
            chunk = content[offset : offset + length]
            found.plain += length
            found.chunks += 1
            blob = blob_id(chunk)
            if blob in self._seen or self._known.contains(blob, BlobType.DATA):
                continue
            self._seen.add(blob)
            frame = self._compressor.compress(chunk) if self._compressor else None
            found.new_plain += length
            found.new_chunks += 1
            found.packed += (length if frame is None else len(frame)) + OVERHEAD
            found.headers += entry_size(0 if frame is None else length)


def _by_lot(file: Candidate) -> int:
    return lot(file.path)


@contextmanager
def _opened(path: bytes) -> Iterator[int | None]:
    """A descriptor, or None for a file that cannot be read: the backup itself tells of it."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
