"""Which new blobs some worker has already taken on: a hash table in memory that all workers share.

There are no locks. A slot is written once and never changed; when two workers write at the same moment, one entry is
lost, and the worst that follows is that a blob is stored twice, which the format allows. Ids are kept whole, so no two
different blobs are ever taken for one.

The table is a row of segments, each twice as large as the one before; a segment is an array of buckets of eight ids.
An id goes into the first bucket on its way through the segments that is not full. Since nothing is ever removed, an id
that meets a bucket with room is in no later segment. Only pages that hold ids take memory: about 50 bytes an id.
"""

from __future__ import annotations

from backup_core.engine.shared_memory import SharedMemory
from backup_core.types import BlobId

_ID = 32
_BUCKET = 8 * _ID
_EMPTY = bytes(_ID)
_FIRST_BUCKETS = 1 << 13
_SEGMENTS = 9


class SeenTable:
    """Claims on blob ids. Safe between threads and processes."""

    def __init__(self, *, first_buckets: int = _FIRST_BUCKETS, segments: int = _SEGMENTS, descriptor: int = -1) -> None:
        """``first_buckets``, a power of two, sizes the first segment. The default has room for 33 million ids."""
        if first_buckets < 1 or first_buckets & (first_buckets - 1):
            raise ValueError(f"{first_buckets} is not a power of two")
        self._memory = SharedMemory(((1 << segments) - 1) * first_buckets * _BUCKET, descriptor=descriptor)
        self._map = self._memory.map
        # Where each segment begins, and the mask that makes a bucket's number of an id.
        self._segments = [
            (((1 << level) - 1) * first_buckets * _BUCKET, (first_buckets << level) - 1) for level in range(segments)
        ]

    @property
    def descriptor(self) -> int:
        """What to pass to a spawned process."""
        return self._memory.descriptor

    def claim(self, blob: BlobId) -> bool:
        """True for the first who asks, who then has to store the blob; False for all who ask later.

        When the table is full, everybody is told True: blobs may then be stored twice.
        """
        number = int.from_bytes(blob[8:16], "little")
        source = self._map
        for start, mask in self._segments:
            at = start + (number & mask) * _BUCKET
            bucket = source[at : at + _BUCKET]
            found = bucket.find(blob)
            while found >= 0:
                if found % _ID == 0:
                    return False
                found = bucket.find(blob, found + 1)
            # Buckets fill from the front. An id that ends in zero bytes makes the empty part seem to begin early.
            free = bucket.find(_EMPTY)
            if free < 0:
                continue
            free = (free + _ID - 1) // _ID * _ID
            if bucket[free : free + _ID] == _EMPTY:
                source[at + free : at + free + _ID] = blob
                return True
        return True

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
