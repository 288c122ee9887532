"""Making index segments: a bucket sort in bounded memory, and the merge of several segments into one.

Records are spread over 256 buckets by the first byte of their id; what does not fit into memory waits in one spill
file. Then one bucket after the other is sorted and written. Ten million blobs need about 100 MB that way.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from backup_core.errors import RepositoryError
from backup_core.format.ids import ID_BYTES, from_hex
from backup_core.format.pack import pack_size_of
from backup_core.repository.index_segment import FAN_OUT, HEADER_BYTES, RECORD_BYTES, Segment, pack_header
from backup_core.types import IndexId, PackedBlob, PackId

SPILL_BYTES = 16 * 1024 * 1024
"""Records held in memory before they go to the spill file."""

MAX_PACKS = 1 << 31
_RECORD = struct.Struct(">32sIIII")
_SPLIT = struct.Struct(">32sI12s")
_KEY_AND_PACK = struct.Struct(">xB30xI12x")
_BUCKETS = 256
_READ_BACK = RECORD_BYTES * 16384
_BIG_ENDIAN = sys.byteorder == "big"


class SegmentWriter:
    """Writes one segment under a temporary name: all 256 buckets in order, then ``finish``.

    Leaving the ``with`` block without ``finish`` removes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
        self._temporary = Path(temporary)
        self._file: BinaryIO = os.fdopen(descriptor, "w+b")
        self._file.write(bytes(HEADER_BYTES))
        self._crc = 0
        self._blobs = 0
        self._fan_out = array("I", bytes(4 * (FAN_OUT + 1)))
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._done:
            self._temporary.unlink(missing_ok=True)

    def add_bucket(self, first_byte: int, records: Iterable[bytes]) -> None:
        """Sort and write the records of one bucket; exact doubles are written once."""
        rows = sorted(set(records))
        data = b"".join(rows)
        base = first_byte << 8
        fan_out = self._fan_out
        for second_byte, _ in _KEY_AND_PACK.iter_unpack(data):
            fan_out[base + second_byte + 1] += 1
        self._blobs += len(rows)
        self._append(data)

    def finish(self, pack_ids: bytes, pack_sizes: bytes, index_ids: Iterable[IndexId]) -> Path:
        """Write the other tables, and give the file its final name."""
        packs = len(pack_ids) // ID_BYTES
        if packs >= MAX_PACKS or self._blobs >= 1 << 32:
            raise RepositoryError(
                f"an index of {self._blobs} blobs in {packs} packs is more than this program can hold"
            )
        self._fan_out = array("I", accumulate(self._fan_out))
        self._append_words(self._fan_out)
        self._append(pack_ids)
        self._append(pack_sizes)
        self._append_words(_order_of(pack_ids))
        starts, by_pack = self._group_by_pack(packs)
        self._append_words(starts)
        self._append_words(by_pack)
        names = sorted(from_hex(index) for index in index_ids)
        self._append(b"".join(names))
        self._file.seek(0)
        self._file.write(pack_header(self._blobs, packs, len(names), self._crc))
        self._file.close()
        self._temporary.replace(self._path)
        self._done = True
        return self._path

    def _group_by_pack(self, packs: int) -> tuple[array[int], array[int]]:
        """Where each pack's part of the by-pack table begins, and that table."""
        starts = array("I", bytes(4 * (packs + 1)))
        for number in self._pack_numbers():
            starts[number + 1] += 1
        for number in range(packs):
            starts[number + 1] += starts[number]
        following = starts[:-1]
        by_pack = array("I", bytes(4 * self._blobs))
        for position, number in enumerate(self._pack_numbers()):
            by_pack[following[number]] = position
            following[number] += 1
        return starts, by_pack

    def _pack_numbers(self) -> Iterator[int]:
        """The pack number of each record, read back from the file: in memory they would take 40 MB of 10 million."""
        self._file.flush()
        descriptor, at, end = self._file.fileno(), HEADER_BYTES, HEADER_BYTES + self._blobs * RECORD_BYTES
        while at < end:
            data = os.pread(descriptor, min(_READ_BACK, end - at), at)
            for _, reference in _KEY_AND_PACK.iter_unpack(data):
                yield reference >> 1
            at += len(data)

    def _append_words(self, words: array[int]) -> None:
        if not _BIG_ENDIAN:
            words.byteswap()
        self._append(memoryview(words).cast("B"))
        if not _BIG_ENDIAN:
            words.byteswap()

    def _append(self, data: bytes | memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(data)


class SegmentBuilder:
    """Collects the content of index files, in any order, and writes it as one segment. For one thread."""

    def __init__(self, directory: Path, *, spill_bytes: int = SPILL_BYTES) -> None:
        """``directory`` takes the spill file, if one is needed."""
        self._directory = directory
        self._spill_bytes = spill_bytes
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]
        self._held = 0
        self._spill: BinaryIO | None = None
        self._pack_ids = bytearray()
        self._pack_sizes = bytearray()
        self._packs = 0
        self._index_ids: set[IndexId] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spill is not None:
            self._spill.close()

    def add_index(self, index: IndexId, packs: Iterable[tuple[PackId, Sequence[PackedBlob]]]) -> None:
        """Take over what one index file lists.

        When ``packs`` raises, what came before stays, which is no harm, and the file does not count as taken over.
        """
        buckets, encode = self._buckets, _RECORD.pack
        for pack, blobs in packs:
            reference = self._packs << 1
            for ident, type_, offset, length, plain in blobs:
                buckets[ident[0]] += encode(ident, reference | type_, offset, length, plain)
            self._pack_ids += pack
            self._pack_sizes += pack_size_of(blobs).to_bytes(8, "big")
            self._packs += 1
            self._held += RECORD_BYTES * len(blobs)
            if self._held >= self._spill_bytes:
                self._spill_all()
        self._index_ids.add(index)

    @property
    def index_ids(self) -> frozenset[IndexId]:
        """The index files taken over so far."""
        return frozenset(self._index_ids)

    def write(self, path: Path) -> Path:
        """Write the segment; the builder is used up."""
        with SegmentWriter(path) as writer:
            for number in range(_BUCKETS):
                writer.add_bucket(number, _records_of(self._take_bucket(number)))
            return writer.finish(bytes(self._pack_ids), bytes(self._pack_sizes), self._index_ids)

    def _spill_all(self) -> None:
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - lives as long as the builder
        for number, bucket in enumerate(self._buckets):
            self._extents[number].append((self._spill.tell(), len(bucket)))
            self._spill.write(bucket)
            bucket.clear()
        self._held = 0

    def _take_bucket(self, number: int) -> bytes:
        parts = []
        if self._spill is not None:
            for offset, length in self._extents[number]:
                self._spill.seek(offset)
                parts.append(self._spill.read(length))
        parts.append(bytes(self._buckets[number]))
        self._buckets[number] = bytearray()
        return b"".join(parts)


def merge_segments(segments: Sequence[Segment], path: Path, *, indexes: Iterable[IndexId] | None = None) -> Path:
    """Write one segment with all that ``segments`` hold, one bucket in memory at a time.

    ``indexes`` are the index files that list the same, if these are not those of ``segments``.
    """
    bases = [0]
    for segment in segments:
        bases.append(bases[-1] + segment.pack_count)
    with SegmentWriter(path) as writer:
        for number in range(_BUCKETS):
            rows: list[bytes] = []
            for segment, base in zip(segments, bases, strict=False):
                rows += _rebased(segment.bucket(number), base)
            writer.add_bucket(number, rows)
        tables = [segment.pack_table() for segment in segments]
        names = frozenset[IndexId]().union(*(segment.index_ids for segment in segments))
        pack_ids, pack_sizes = (b"".join(table) for table in zip(*tables, strict=True))
        return writer.finish(pack_ids, pack_sizes, names if indexes is None else indexes)


def _order_of(pack_ids: bytes) -> array[int]:
    """Pack numbers sorted by pack id."""
    packs = range(len(pack_ids) // ID_BYTES)
    return array("I", sorted(packs, key=lambda number: pack_ids[ID_BYTES * number : ID_BYTES * (number + 1)]))


def _records_of(data: bytes) -> Iterator[bytes]:
    return (data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES))


def _rebased(data: bytes, base: int) -> Iterator[bytes]:
    """The records with ``base`` added to their pack numbers."""
    if not base:
        return _records_of(data)
    shift = base << 1
    return (
        ident + (reference + shift).to_bytes(4, "big") + rest for ident, reference, rest in _SPLIT.iter_unpack(data)
    )
