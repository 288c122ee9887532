"""One sorted index file on the local disk, read through a memory map.

The blobs of many index files of a repository, merged, in a form that answers "where is this blob?" without a Python
object per blob. It is a disposable copy: anything wrong with it is answered by building it anew.

::

    header      64 bytes: magic, counts, CRC-32 of the body, CRC-32 of the header
    records     blobs x 48: id 32, pack number << 1 | type, offset, length, uncompressed length (4 x u32), sorted
    fan-out     65537 x u32: number of the first record whose id starts with these 16 bits
    pack ids    packs x 32, by pack number
    pack sizes  packs x u64, bytes of the pack file as the index implies them
    pack order  packs x u32: pack numbers sorted by pack id
    pack starts (packs + 1) x u32: where a pack's part of the next table begins
    by pack     blobs x u32: record numbers, grouped by pack number
    index ids   indexes x 32: the index files that went into this one

All integers are big-endian, so that records sort as bytes. Each pack listing of each index file has a pack number of
its own: a pack listed twice has two.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from backup_core.errors import Corrupt
from backup_core.format.ids import ID_BYTES, to_hex
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId

MAGIC = b"DVINDEX\x01"
HEADER = struct.Struct(">8sQQQI")
HEADER_CRC = struct.Struct(">I")
HEADER_BYTES = 64
RECORD_BYTES = 48
FAN_OUT = 65536
_PLACE = struct.Struct(">IIII")
_WORD = struct.Struct(">I")
_TWO_WORDS = struct.Struct(">II")
_LONG = struct.Struct(">Q")
_READ_AT_ONCE = 1 << 20
_LAST_OF_REFERENCE = ID_BYTES + 3
"""Byte of a record whose lowest bit is the blob's type."""
_BLOB_TYPES = (BlobType.DATA, BlobType.TREE)


class Layout(NamedTuple):
    """Where the tables of a segment begin, in bytes from the start of the file."""

    blobs: int
    packs: int
    indexes: int
    fan_out: int
    pack_ids: int
    pack_sizes: int
    pack_order: int
    pack_starts: int
    by_pack: int
    index_ids: int
    end: int

    @classmethod
    def of(cls, blobs: int, packs: int, indexes: int) -> Layout:
        """The layout that these counts imply."""
        fan_out = HEADER_BYTES + blobs * RECORD_BYTES
        pack_ids = fan_out + 4 * (FAN_OUT + 1)
        pack_sizes = pack_ids + ID_BYTES * packs
        pack_order = pack_sizes + 8 * packs
        pack_starts = pack_order + 4 * packs
        by_pack = pack_starts + 4 * (packs + 1)
        index_ids = by_pack + 4 * blobs
        end = index_ids + ID_BYTES * indexes
        return cls(
            blobs, packs, indexes, fan_out, pack_ids, pack_sizes, pack_order, pack_starts, by_pack, index_ids, end
        )


def pack_header(blobs: int, packs: int, indexes: int, body_crc: int) -> bytes:
    """The 64 bytes at the start of a segment."""
    head = HEADER.pack(MAGIC, blobs, packs, indexes, body_crc).ljust(HEADER_BYTES - HEADER_CRC.size, b"\0")
    return head + HEADER_CRC.pack(zlib.crc32(head))


class Segment:
    """A segment opened for reading. Safe between threads; its file may be deleted while it is in use."""

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        """Open ``path``; raises ``Corrupt`` or ``OSError``, after which the file is of no use.

        ``verify`` reads the whole file once to check its CRC, in small pieces: through the map the pages would count
        as this process' memory.
        """
        self.path = path
        with path.open("rb") as file:
            self._layout = _read_layout(file, path, verify=verify)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)  # ids are random: reading ahead would only fill the memory

    def __len__(self) -> int:
        """Number of records: a blob that lies in two packs counts twice."""
        return self._layout.blobs

    @property
    def pack_count(self) -> int:
        """Number of pack listings."""
        return self._layout.packs

    @property
    def index_ids(self) -> frozenset[IndexId]:
        """The index files whose content this segment holds."""
        first, size = self._layout.index_ids, ID_BYTES
        return frozenset(
            IndexId(to_hex(self._map[at : at + size])) for at in range(first, first + size * self._layout.indexes, size)
        )

    def locations(self, blob: BlobId) -> Iterator[BlobLocation]:
        """Every place of ``blob``."""
        at, end = self._range(blob)
        while (at := self._map.find(blob, at, end)) >= 0:
            if (at - HEADER_BYTES) % RECORD_BYTES:
                at += 1  # the same bytes across two records: no record begins here
                continue
            yield self._location(at)
            at += RECORD_BYTES

    def locate(self, blob: BlobId, kind: BlobType | None = None) -> BlobLocation | None:
        """The first place of ``blob`` with this type (with any, when none is named)."""
        at, end = self._range(blob)
        while (at := self._map.find(blob, at, end)) >= 0:
            if not (at - HEADER_BYTES) % RECORD_BYTES:
                place = self._location(at)
                if kind is None or place.type is kind:
                    return place
            at += 1
        return None

    def holds(self, blob: BlobId, kind: BlobType) -> bool:
        """Whether there is a place of ``blob`` with this type. Asked far more often than where that is."""
        at, end = self._range(blob)
        while (at := self._map.find(blob, at, end)) >= 0:
            if not (at - HEADER_BYTES) % RECORD_BYTES and self._map[at + _LAST_OF_REFERENCE] & 1 == kind:
                return True
            at += 1
        return False

    def entries(self) -> Iterator[tuple[BlobId, BlobLocation]]:
        """All records, ascending by id."""
        for at in range(HEADER_BYTES, self._layout.fan_out, RECORD_BYTES):
            yield BlobId(self._map[at : at + ID_BYTES]), self._location(at)

    def bucket(self, first_byte: int) -> bytes:
        """The raw records of all ids that start with this byte."""
        low = self._word(self._layout.fan_out + 4 * (first_byte << 8))
        high = self._word(self._layout.fan_out + 4 * ((first_byte + 1) << 8))
        return self._map[HEADER_BYTES + low * RECORD_BYTES : HEADER_BYTES + high * RECORD_BYTES]

    def pack_id(self, number: int) -> PackId:
        """The pack of this number."""
        at = self._layout.pack_ids + ID_BYTES * number
        return PackId(self._map[at : at + ID_BYTES])

    def packs(self) -> Iterator[tuple[PackId, int]]:
        """(pack, size in bytes) ascending by id; a pack listed twice comes twice."""
        for rank in range(self._layout.packs):
            number = self._word(self._layout.pack_order + 4 * rank)
            yield self.pack_id(number), self._pack_size(number)

    def pack_sizes(self, pack: PackId) -> list[int]:
        """What its listings say of a pack's size in bytes: several when it is listed in parts, or twice."""
        return [self._pack_size(number) for number in self._numbers(pack)]

    def pack_table(self) -> tuple[bytes, bytes]:
        """The raw pack ids and pack sizes, by pack number."""
        layout = self._layout
        return self._map[layout.pack_ids : layout.pack_sizes], self._map[layout.pack_sizes : layout.pack_order]

    def pack_blobs(self, pack: PackId) -> list[PackedBlob]:
        """What the pack holds, in no particular order; a pack listed twice gives its blobs twice."""
        layout = self._layout
        found: list[PackedBlob] = []
        for number in self._numbers(pack):
            first, last = _TWO_WORDS.unpack_from(self._map, layout.pack_starts + 4 * number)
            for place in range(layout.by_pack + 4 * first, layout.by_pack + 4 * last, 4):
                at = HEADER_BYTES + self._word(place) * RECORD_BYTES
                reference, offset, length, plain = _PLACE.unpack_from(self._map, at + ID_BYTES)
                blob = BlobId(self._map[at : at + ID_BYTES])
                found.append(PackedBlob(blob, _BLOB_TYPES[reference & 1], offset, length, plain))
        return found

    def close(self) -> None:
        """Give the map back. The segment is not used again."""
        self._map.close()

    def _range(self, blob: BlobId) -> tuple[int, int]:
        """Where the records lie whose ids start with the same 16 bits."""
        low, high = _TWO_WORDS.unpack_from(self._map, self._layout.fan_out + 4 * (blob[0] << 8 | blob[1]))
        return HEADER_BYTES + low * RECORD_BYTES, HEADER_BYTES + high * RECORD_BYTES

    def _location(self, at: int) -> BlobLocation:
        reference, offset, length, plain = _PLACE.unpack_from(self._map, at + ID_BYTES)
        return BlobLocation(self.pack_id(reference >> 1), _BLOB_TYPES[reference & 1], offset, length, plain)

    def _word(self, at: int) -> int:
        (value,) = _WORD.unpack_from(self._map, at)
        return int(value)

    def _pack_size(self, number: int) -> int:
        (value,) = _LONG.unpack_from(self._map, self._layout.pack_sizes + 8 * number)
        return int(value)

    def _numbers(self, pack: PackId) -> list[int]:
        """All numbers under which ``pack`` is listed."""
        low, high = 0, self._layout.packs
        while low < high:
            middle = (low + high) // 2
            if self.pack_id(self._word(self._layout.pack_order + 4 * middle)) < pack:
                low = middle + 1
            else:
                high = middle
        numbers = []
        for rank in range(low, self._layout.packs):
            number = self._word(self._layout.pack_order + 4 * rank)
            if self.pack_id(number) != pack:
                break
            numbers.append(number)
        return numbers


def _read_layout(file: BinaryIO, path: Path, *, verify: bool) -> Layout:
    head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise Corrupt(f"{path} is too short for an index segment", kind="index segment")
    magic, blobs, packs, indexes, body_crc = HEADER.unpack_from(head)
    (head_crc,) = HEADER_CRC.unpack_from(head, HEADER_BYTES - HEADER_CRC.size)
    if magic != MAGIC or zlib.crc32(head[: -HEADER_CRC.size]) != head_crc:
        raise Corrupt(f"{path} is not an index segment of this version", kind="index segment")
    layout = Layout.of(blobs, packs, indexes)
    if path.stat().st_size != layout.end:
        raise Corrupt(f"{path} does not have the {layout.end} bytes its header implies", kind="index segment")
    if verify and _body_crc(file) != body_crc:
        raise Corrupt(f"the checksum of {path} is wrong", kind="index segment")
    return layout


def _body_crc(file: BinaryIO) -> int:
    """CRC-32 of everything behind the header, ``file`` standing there."""
    crc = 0
    while piece := file.read(_READ_AT_ONCE):
        crc = zlib.crc32(piece, crc)
    return crc
