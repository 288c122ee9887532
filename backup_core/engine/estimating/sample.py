"""Which files to read so that they speak for all.

Files are sampled **by their size**: of the sizes that occur, some are drawn, and then all files of these sizes are
taken. Copies of a file have its size, so the sample holds them all, and shows how much of the source is there twice;
a sample of single files would hardly ever draw both. Sizes are drawn for each order of magnitude on its own, since
small and large files compress differently.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

MOST_FILES = 2048
"""Files of one order of magnitude that are remembered."""

_WHOLE = 1 << 32


class Candidate(NamedTuple):
    """A file that may be read."""

    path: bytes
    size: int


class Stratum:
    """Files whose sizes are of one order of magnitude (powers of two), and some that speak for them."""

    def __init__(self, smallest: int) -> None:
        """``smallest`` of the sizes that belong to it, in bytes."""
        self.smallest = smallest
        self.files = 0
        self.bytes = 0
        self._sizes_below = _WHOLE
        self._paths_below = _WHOLE
        self._kept: list[Candidate] = []

    def add(self, path: bytes, size: int) -> None:
        """Count a file, and remember it if its size is among those drawn."""
        self.files += 1
        self.bytes += size
        file = Candidate(path, size)
        if self._is_drawn(file):
            self._kept.append(file)
            while len(self._kept) > MOST_FILES:
                self._thin_out()

    def sample(self, most_bytes: int) -> list[Candidate]:
        """Files to read, of about ``most_bytes`` at most; at least one file."""
        while len(self._kept) > 1 and sum(file.size for file in self._kept) > most_bytes:
            before = self._kept
            self._thin_out()
            if not self._kept:
                return before[:1]
        return sorted(self._kept)

    def _thin_out(self) -> None:
        """Draw half of the sizes. When there is but one, half of the files: that hides copies, and cannot be helped."""
        if len({file.size for file in self._kept}) > 1:
            self._sizes_below //= 2
        else:
            self._paths_below //= 2
        self._kept = [file for file in self._kept if self._is_drawn(file)]

    def _is_drawn(self, file: Candidate) -> bool:
        return (
            lot(file.size.to_bytes(8, "big")) < self._sizes_below
            and (self._paths_below == _WHOLE or lot(file.path) < self._paths_below)
        )  # fmt: skip


class SizeSample:
    """All files of a source by order of magnitude. Takes little memory, however many there are."""

    def __init__(self) -> None:
        self.strata: dict[int, Stratum] = {}

    def add(self, path: bytes, size: int) -> None:
        """Count a file."""
        if size:
            bits = size.bit_length()
            if bits not in self.strata:
                self.strata[bits] = Stratum(1 << (bits - 1))
            self.strata[bits].add(path, size)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(stratum.bytes for stratum in self.strata.values())


def lot(key: bytes) -> int:
    """A number below 2^32 that has nothing to do with what it was drawn for, and is the same each time."""
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big")
