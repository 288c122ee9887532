"""Reading parts of a file of a backup without restoring it: ranges on demand, verified, with a small memory.

A file's content is a list of blobs. A read fetches the blobs it touches, those that lie next to each other in a pack in
one request, and hands out nothing that was not authenticated and hashed. A reader that is read from front to back asks
for more and more at a time; one that jumps about asks for single blobs.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate

from backup_core.engine.copies import Copies
from backup_core.errors import BlobMissing, Corrupt
from backup_core.format.ids import to_hex
from backup_core.format.tree import Node
from backup_core.types import BlobId, BlobLocation, BlobType

_FIRST_AHEAD = 1024 * 1024
"""Bytes fetched beyond what was asked for when a file is read on."""
_MOST_AHEAD = 16 * 1024 * 1024


class BlobMemory:
    """Plaintext blobs, least recently used ones dropped. Safe between threads."""

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        """``limit``: bytes held at most (a single larger blob is not held)."""
        self._limit = limit
        self._held = 0
        self._blobs: OrderedDict[BlobId, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, blob: BlobId) -> bytes | None:
        """A blob, None when it is not held."""
        with self._lock:
            content = self._blobs.get(blob)
            if content is not None:
                self._blobs.move_to_end(blob)
            return content

    def put(self, blob: BlobId, content: bytes) -> None:
        """Hold a blob."""
        with self._lock:
            if blob in self._blobs or len(content) > self._limit:
                return
            self._blobs[blob] = content
            self._held += len(content)
            while self._held > self._limit:
                self._held -= len(self._blobs.popitem(last=False)[1])


class FileReader:
    """One file, open for reading. Not safe between threads; its memory may be shared."""

    def __init__(self, copies: Copies, node: Node, memory: BlobMemory) -> None:
        """Raises ``BlobMissing`` when part of the file is in no index of any copy."""
        self._copies = copies
        self._memory = memory
        self._blobs: tuple[BlobId, ...] = node.content or ()
        places = [copies.find(blob, BlobType.DATA) for blob in self._blobs]
        for blob, place in zip(self._blobs, places, strict=True):
            if place is None:
                digits = to_hex(blob)
                raise BlobMissing(
                    f"a part of the file (blob {digits[:16]}) is in no index of the repository; validate it to see "
                    "what else is affected",
                    blob=digits,
                )
        self._places: list[BlobLocation] = [place for place in places if place is not None]
        self._ends = list(accumulate(place.plaintext_length for place in self._places))
        self._next = 0
        self._ahead = 0

    @property
    def size(self) -> int:
        """Bytes of the content, as its blobs add up."""
        return self._ends[-1] if self._ends else 0

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer at the end. Raises ``Corrupt`` or ``StorageError``."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        self._ahead = min(max(2 * self._ahead, _FIRST_AHEAD), _MOST_AHEAD) if offset == self._next else 0
        self._next = end
        first = bisect.bisect_right(self._ends, offset)
        last = bisect.bisect_left(self._ends, end)
        parts = []
        for number in range(first, last + 1):
            start = self._ends[number] - self._places[number].plaintext_length
            content = self._content(number, max(last, self._reach(number)))
            parts.append(content[max(0, offset - start) : end - start])
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The whole content, piece by piece, each verified before it is given."""
        for number, end in enumerate(self._ends):
            self._ahead = min(max(2 * self._ahead, _FIRST_AHEAD), _MOST_AHEAD)
            yield self._content(number, self._reach(number))
            self._next = end

    def _reach(self, number: int) -> int:
        """The last blob worth fetching along with ``number``."""
        if not self._ahead:
            return number
        return min(bisect.bisect_left(self._ends, self._ends[number] + self._ahead), len(self._ends) - 1)

    def _content(self, number: int, last: int) -> bytes:
        blob = self._blobs[number]
        known = self._memory.get(blob)
        if known is not None:
            return known
        pack = self._places[number].pack
        wanted = {blob: self._places[number]}
        for further in range(number + 1, last + 1):
            if self._places[further].pack != pack:
                break
            if self._memory.get(self._blobs[further]) is None:
                wanted[self._blobs[further]] = self._places[further]
        found: bytes | None = None
        fault: Corrupt | None = None
        for digits, content in self._copies.fetch(pack, list(wanted.items())):
            if isinstance(content, Corrupt):
                fault = content if digits == blob else fault
                continue
            self._memory.put(digits, content)
            found = content if digits == blob else found
        if found is None:
            raise fault or Corrupt(f"the blob {to_hex(blob)[:16]} cannot be read", kind="blob")
        return found
