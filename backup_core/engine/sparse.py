"""Runs of zeros that a file system need not store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from backup_core.types import BlobId

BLOCK = 4096
"""Bytes. Only whole blocks of the file, counted from its beginning, become holes."""

_LARGEST = 16 * 1024 * 1024
"""Bytes; no writer makes larger blobs, and a hostile index must not decide how many zeros are hashed here."""

_ZEROS = bytes(BLOCK)


def is_solid(data: bytes, offset: int) -> bool:
    """True when no whole block of ``data`` begins with a zero, so that all of it must be written. Very cheap."""
    return 0 not in data[-offset % BLOCK :: BLOCK]


def data_runs(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """The parts of ``data`` (start, end) that must be written when it goes to ``offset`` of a file full of holes."""
    size = len(data)
    first = size if is_solid(data, offset) else -offset % BLOCK
    run = 0
    for start in range(first, size - BLOCK + 1, BLOCK):
        # Looking at one byte first spares ordinary data the copy.
        if not data[start] and data[start : start + BLOCK] == _ZEROS:
            if run < start:
                yield run, start
            run = start + BLOCK
    if run < size:
        yield run, size


class ZeroBlobs:
    """Tells which blobs are nothing but zeros from their ids alone, so that they need not be downloaded.

    Only asked about blobs that compressed to next to nothing; remembers one digest per length.
    """

    def __init__(self) -> None:
        self._ids: dict[int, BlobId] = {}

    def holds(self, blob: BlobId, stored: int, plaintext: int) -> bool:
        """True when a blob of ``plaintext`` bytes, ``stored`` bytes on the server, is all zeros."""
        if not BLOCK <= plaintext <= _LARGEST or stored * 64 > plaintext:
            return False
        known = self._ids.get(plaintext)
        if known is None:
            known = self._ids[plaintext] = BlobId(hashlib.sha256(bytes(plaintext)).digest())
        return known == blob
