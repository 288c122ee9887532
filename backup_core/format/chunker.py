"""Where long files are cut: content-defined chunking, so that an insertion moves few cut points.

FastCDC with normalized chunking (Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
Deduplication", USENIX ATC 2016, and its 2020 successor), which is not the Rabin fingerprint that restic cuts with: any
cut points are valid in the format, and no fast program for the other is at hand. Files up to 512 KiB are one chunk
for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from pyfastcdc import FastCDC

from backup_core.format.ids import sha256
from backup_core.types import Buffer

MIN = 512 << 10
"""Shortest chunk, bytes, but for the last one of a file."""
AVERAGE = 1 << 20
"""Where the cut condition is eased; chunks of random data come out at about 1.25 MiB."""
MAX = 8 << 20
"""Longest chunk, bytes."""

_NORMALIZATION: Final = 2


class Readable(Protocol):
    """What ``Chunker.lengths`` reads from: an open binary file, for example."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from its start and say with how many bytes; 0 at the end."""
        ...


class Chunker:
    """Cuts by one seed. Releases the interpreter lock; may be shared between threads."""

    __slots__ = ("_cutter",)

    def __init__(self, seed: int) -> None:
        self._cutter = FastCDC(AVERAGE, min_size=MIN, max_size=MAX, normalized_chunking=_NORMALIZATION, seed=seed)

    def cuts(self, buffer: Buffer) -> Iterator[tuple[int, int]]:
        """Offset and length of each chunk of ``buffer``, which is taken as a whole file. Nothing is copied."""
        for chunk in self._cutter.cut_buf(buffer):
            yield chunk.offset, chunk.length

    def lengths(self, stream: Readable) -> Iterator[int]:
        """Length of each chunk of a stream read to its end, with one buffer's worth of memory.

        The same as ``cuts`` finds in the whole content.
        """
        for chunk in self._cutter.cut_stream(stream):
            yield chunk.length


def seed_from(polynomial: int) -> int:
    """The seed of a repository's cut points, from the chunker polynomial of its config.

    It is fixed for the life of the repository and secret like its config: cut points seen from outside (as sizes of
    stored chunks) cannot be compared with those of a known file. 63 bits, all that the chunker takes.
    """
    digest = sha256(f"{polynomial:x}".encode("ascii"))
    return int.from_bytes(digest[:8], "big") >> 1
