"""Buffers for packs that are being filled."""

from __future__ import annotations

import mmap


def fresh_buffer(size: int) -> memoryview:
    """``size`` bytes, of which only those take memory that were written. Given back with the last view of it.

    A ``bytearray`` is touched from end to end when it is made, and most runs fill a small part of their last pack.
    """
    return memoryview(mmap.mmap(-1, size))
