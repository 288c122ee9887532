"""zstd frames (RFC 8878): around blobs, and around the JSON of index, snapshot and lock files."""

from __future__ import annotations

import zstandard

from backup_core.errors import Corrupt, UnsupportedVersion
from backup_core.types import Buffer

MAX_BLOB = 1 << 30
"""Longest plaintext of a blob that is accepted. Data blobs are at most some MiB; a tree grows with its directory."""

MAX_UNPACKED = 1 << 28
"""Longest plaintext of an index, snapshot or lock file that is accepted. Index files are made for some 10 MiB."""

_ZSTD = b"\x02"
"""First byte of an unpacked file whose JSON is compressed."""

_UNPACKED_LEVEL = 3

_SLICE = 1024
"""How much of a frame of unknown length is decompressed at a time: at most 32 MiB can come out of it."""


class Compressor:
    """Compresses blobs. Keeps its context, so each thread has its own."""

    __slots__ = ("_compress",)

    def __init__(self, level: int = 3) -> None:
        """``level`` is zstd's, 1 (fast) to 19 (small); above that, readers would need more memory than they grant."""
        if not 1 <= level <= 19:
            raise ValueError(f"compression level {level} is not between 1 and 19")
        self._compress = zstandard.ZstdCompressor(level=level).compress

    def compress(self, data: Buffer) -> bytes | None:
        """A zstd frame, or None when it would not be smaller than ``data``."""
        frame = self._compress(data)
        return frame if len(frame) < len(data) else None


class Decompressor:
    """Decompresses blobs. Keeps its context, so each thread has its own."""

    __slots__ = ("_decompress",)

    def __init__(self) -> None:
        self._decompress = zstandard.ZstdDecompressor().decompress

    def decompress(self, data: Buffer, length: int) -> bytes:
        """The plaintext, which must be ``length`` bytes long. Raises ``Corrupt``.

        No more memory than ``length`` is ever used, whatever the frame claims about itself.
        """
        if not 0 < length <= MAX_BLOB:
            raise Corrupt(f"a compressed blob claims to hold {length} bytes")
        if _content_size(data) not in (length, -1):
            raise Corrupt(f"a compressed blob does not hold the {length} bytes it should")
        try:
            plain = self._decompress(data, max_output_size=length, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Corrupt(f"a compressed blob does not decompress: {error}") from error
        if len(plain) != length:
            raise Corrupt(f"a compressed blob holds {len(plain)} bytes instead of {length}")
        return plain


def pack_unpacked(json: Buffer) -> bytes:
    """What is sealed and stored for the JSON of an index, snapshot or lock file."""
    return _ZSTD + zstandard.ZstdCompressor(level=_UNPACKED_LEVEL).compress(json)


def unpack_unpacked(data: bytes) -> bytes:
    """The JSON of an opened index, snapshot or lock file. Raises ``Corrupt`` or ``UnsupportedVersion``."""
    first = data[:1]
    if first in (b"{", b"["):
        return data
    if first != _ZSTD:
        raise UnsupportedVersion(f"a file starts with {first!r}, which is neither JSON nor a known compression")
    frame = memoryview(data)[1:]
    size = _content_size(frame)
    if size > MAX_UNPACKED:
        raise Corrupt(f"a compressed file claims to hold {size} bytes")
    try:
        if size > 0:
            return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
        return _stream(frame)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a compressed file does not decompress: {error}") from error


def _content_size(frame: Buffer) -> int:
    """The plaintext's length as the frame states it, -1 when it does not."""
    try:
        return zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise Corrupt(f"not a zstd frame: {error}") from error


def _stream(frame: memoryview) -> bytes:
    # Frames that keep silent about their length come from restic; nothing is allocated on their word.
    stream = zstandard.ZstdDecompressor().decompressobj()
    parts: list[bytes] = []
    total = 0
    for start in range(0, len(frame), _SLICE):
        if stream.eof:
            break
        parts.append(stream.decompress(frame[start : start + _SLICE]))
        total += len(parts[-1])
        if total > MAX_UNPACKED:
            raise Corrupt(f"a compressed file holds more than {MAX_UNPACKED} bytes")
    if not stream.eof or stream.unused_data:
        raise Corrupt("a compressed file is cut off or goes on after its end")
    return b"".join(parts)
