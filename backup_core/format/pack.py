"""Pack files: sealed blobs one after the other, then a sealed header that lists them.

::

    box(blob 1) ... box(blob n)  box(header)  u32le length of box(header)

    header entry, stored as it is:  u8 type (0 data, 1 tree)  u32le length of box                        32 B id
    header entry, compressed:       u8 type (2 data, 3 tree)  u32le length of box  u32le plaintext's     32 B id

"Pack Format" in the design document of restic.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from hashlib import sha256

from backup_core.deferred import dataclass
from backup_core.errors import AuthenticationFailed, Corrupt
from backup_core.format.cipher import OVERHEAD, Sealer
from backup_core.types import BlobId, BlobType, Buffer, PackedBlob, PackId

MAX_SIZE = (1 << 32) - 1
"""Longest pack, bytes: offsets have 32 bits."""

LENGTH_FIELD = 4
"""Bytes at the end of a pack that tell the length of the header's box."""

_MAX_HEADER_BOX = 16 << 20
_MOST_SEALINGS = 4096
"""Of one header, in search of an id that begins as wished: a single wished byte is missed once in nine million packs.
"""
_SPILL = 1 << 20
"""Bytes of a window after which they are given away: few calls, and all still in the processor's cache."""
_PLAIN = struct.Struct("<BI32s")
_COMPRESSED = struct.Struct("<BII32s")
_LENGTH = struct.Struct("<I")
_COMPRESSED_FLAG = 2

MAX_BLOBS = (_MAX_HEADER_BOX - OVERHEAD) // _COMPRESSED.size
"""Most blobs a pack can hold, so that readers accept its header."""

LONGEST_TAIL = _MAX_HEADER_BOX + LENGTH_FIELD
"""Most bytes from the end of a pack that can be needed to read its header."""


def entry_size(uncompressed_length: int) -> int:
    """Bytes of a blob's header entry; 0 stands for a blob that is not compressed."""
    return _COMPRESSED.size if uncompressed_length else _PLAIN.size


def header_size_of(blobs: Iterable[PackedBlob]) -> int:
    """Bytes at the end of a pack with these blobs: the header's box and the length field."""
    return sum(entry_size(blob.uncompressed_length) for blob in blobs) + OVERHEAD + LENGTH_FIELD


def pack_size_of(blobs: Iterable[PackedBlob]) -> int:
    """Size in bytes that a pack with exactly these blobs must have."""
    entries = lengths = 0
    for blob in blobs:
        entries += entry_size(blob.uncompressed_length)
        lengths += blob.length
    return lengths + entries + OVERHEAD + LENGTH_FIELD


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """A complete pack, in a builder's buffer or wherever the builder put it."""

    id: PackId
    size: int
    """Bytes from the start of the buffer."""
    blobs: tuple[PackedBlob, ...]


class PackBuilder:
    """Builds one pack in a buffer of the caller's, which may be used again once the pack is stored.

    With ``spill`` the buffer is only a window: what is sealed is given away, in order, before the window is full, so
    that it needs room for the longest blob or header and no more.
    """

    __slots__ = (
        "_blobs",
        "_buffer",
        "_capacity",
        "_entries",
        "_hash",
        "_header_size",
        "_sealer",
        "_spill",
        "_spilled",
        "size",
    )

    def __init__(
        self,
        buffer: memoryview | bytearray,
        sealer: Sealer,
        *,
        spill: Callable[[int, memoryview], None] | None = None,
        capacity: int | None = None,
    ) -> None:
        """``spill`` is given the offset in the pack, and the bytes; ``capacity``: bytes that the pack may have, when
        that is not the buffer's size."""
        self._buffer = memoryview(buffer)
        self._sealer = sealer
        self._spill = spill
        self._spilled = 0
        self._capacity = len(self._buffer) if capacity is None else capacity
        self._blobs: list[PackedBlob] = []
        self._entries: list[bytes] = []
        self._header_size = OVERHEAD + LENGTH_FIELD
        self._hash = sha256()
        self.size = 0
        """Bytes of the sealed blobs so far, without the header."""

    @property
    def count(self) -> int:
        """Blobs so far."""
        return len(self._blobs)

    def room_for(self, length: int) -> bool:
        """Whether a payload of ``length`` bytes and the header after it still fit."""
        if len(self._blobs) >= MAX_BLOBS:
            return False
        header = self._header_size + _COMPRESSED.size
        end = self.size + length + OVERHEAD + header
        return end <= self._capacity and end <= MAX_SIZE and max(length + OVERHEAD, header) <= len(self._buffer)

    def add(self, blob: BlobId, type: BlobType, payload: Buffer, uncompressed_length: int) -> PackedBlob:
        """Seal ``payload`` into the pack.

        ``uncompressed_length`` is the plaintext's length when ``payload`` is compressed, 0 when it is the plaintext.
        Raises ``ValueError`` when there is no room: ask ``room_for`` first.
        """
        if not self.room_for(len(payload)):
            raise ValueError(f"no room in the pack for a blob of {len(payload)} bytes")
        length = self._sealer.seal_into(payload, self._space(len(payload) + OVERHEAD))
        return self._enter(blob, type, length, uncompressed_length)

    def add_sealed(self, blob: BlobId, type: BlobType, box: Buffer, uncompressed_length: int) -> PackedBlob:
        """Take over, as it is, a box that was sealed with the same key for another pack.

        Raises ``ValueError`` when there is no room: ask ``room_for`` first, less the box's ``OVERHEAD``.
        """
        if not self.room_for(len(box) - OVERHEAD):
            raise ValueError(f"no room in the pack for a box of {len(box)} bytes")
        self._space(len(box))[: len(box)] = box
        return self._enter(blob, type, len(box), uncompressed_length)

    def _space(self, length: int) -> memoryview:
        """The free part of the buffer, of at least so many bytes."""
        if self.size - self._spilled + length > len(self._buffer):
            self._give_away(self.size)
        return self._buffer[self.size - self._spilled :]

    def _give_away(self, end: int) -> None:
        """Empty the window, in which the pack lies up to ``end``."""
        if self._spill is not None and end > self._spilled:
            self._spill(self._spilled, self._buffer[: end - self._spilled])
            self._spilled = end

    def _enter(self, blob: BlobId, type: BlobType, length: int, uncompressed_length: int) -> PackedBlob:
        """List the box of ``length`` bytes that was just put behind the others."""
        start = self.size
        if uncompressed_length:
            entry = _COMPRESSED.pack(type | _COMPRESSED_FLAG, length, uncompressed_length, blob)
        else:
            entry = _PLAIN.pack(type, length, blob)
        packed = PackedBlob(blob, type, start, length, uncompressed_length)
        self._entries.append(entry)
        self._blobs.append(packed)
        self._header_size += len(entry)
        self.size = start + length
        # Hashed now, while the box is still in the processor's cache.
        self._hash.update(self._buffer[start - self._spilled : self.size - self._spilled])
        if self.size - self._spilled >= _SPILL:
            self._give_away(self.size)
        return packed

    def finish(self, first_bytes: bytes = b"") -> FinishedPack:
        """Append the header. The builder cannot be used afterwards. Raises ``ValueError`` for a pack without blobs.

        With ``first_bytes`` the id, which names the folder a pack lies in, begins with one of these: the header is
        sealed with new random bytes until it does. Only the header is sealed and hashed again, some 256 times.
        """
        if not self._blobs:
            raise ValueError("a pack without blobs is not written")
        header = b"".join(self._entries)
        length = len(header) + OVERHEAD + LENGTH_FIELD
        tail = self._space(length)[:length]
        tail[-LENGTH_FIELD:] = _LENGTH.pack(len(header) + OVERHEAD)
        for _ in range(_MOST_SEALINGS if first_bytes else 1):
            self._sealer.seal_into(header, tail)
            whole = self._hash.copy()
            whole.update(tail)
            digest = whole.digest()
            if digest[0] in first_bytes:
                break
        end = self.size + length
        self._give_away(end)
        return FinishedPack(PackId(digest), end, tuple(self._blobs))


def header_box_length(last: Buffer) -> int:
    """Length of the header's box, from the last four bytes of a pack. Raises ``Corrupt`` when it cannot be one."""
    if len(last) != LENGTH_FIELD:
        raise Corrupt(f"a pack ends in {LENGTH_FIELD} bytes of length, not {len(last)}", kind="pack")
    (length,) = _LENGTH.unpack(last)
    if not OVERHEAD + _PLAIN.size <= length <= _MAX_HEADER_BOX:
        raise Corrupt(f"a pack's header cannot be {length} bytes long", kind="pack")
    return int(length)


def read_header(tail: Buffer, pack_size: int, sealer: Sealer) -> list[PackedBlob]:
    """The blobs of a pack of ``pack_size`` bytes, in file order, from the end of it.

    ``tail`` must reach back to the start of the header; ``header_box_length`` tells how far that is.
    Raises ``Corrupt`` when the header is damaged or does not describe a pack of this size.
    """
    view = memoryview(tail)
    length = header_box_length(view[-LENGTH_FIELD:])
    if length + LENGTH_FIELD > min(len(view), pack_size):
        raise Corrupt(f"a pack's header of {length} bytes is longer than what is there", kind="pack")
    try:
        header = sealer.open(view[-LENGTH_FIELD - length : -LENGTH_FIELD])
    except AuthenticationFailed as error:
        raise Corrupt("a pack's header does not open: its bytes were changed", kind="pack") from error
    blobs = _parse_entries(header)
    if pack_size_of(blobs) != pack_size:
        raise Corrupt(f"a pack of {pack_size} bytes has a header for one of {pack_size_of(blobs)} bytes", kind="pack")
    return blobs


def _parse_entries(header: bytes) -> list[PackedBlob]:
    blobs: list[PackedBlob] = []
    at = offset = 0
    try:
        while at < len(header):
            if header[at] & _COMPRESSED_FLAG:
                kind, length, uncompressed, raw = _COMPRESSED.unpack_from(header, at)
                at += _COMPRESSED.size
                if not uncompressed:
                    raise Corrupt("a pack's header lists a compressed blob of no length", kind="pack")
            else:
                kind, length, raw = _PLAIN.unpack_from(header, at)
                at += _PLAIN.size
                uncompressed = 0
            if length < OVERHEAD:
                raise Corrupt(f"a pack's header lists a blob of {length} bytes", kind="pack")
            blobs.append(PackedBlob(BlobId(raw), BlobType(kind & ~_COMPRESSED_FLAG), offset, length, uncompressed))
            offset += length
    except (struct.error, ValueError) as error:
        raise Corrupt("a pack's header holds an entry of unknown type or is cut off", kind="pack") from error
    return blobs
