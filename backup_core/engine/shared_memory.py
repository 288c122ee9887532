"""Memory that the main process and its workers both see, whether those are threads, forked or spawned processes.

On Linux it is an anonymous file (``memfd_create``), which a spawned process gets by descriptor; it is not limited by
``/dev/shm`` and vanishes with its last user. Elsewhere it is a shared anonymous map, which forked children inherit.
Pages that nobody has written take no memory.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

CAN_BE_PASSED = hasattr(os, "memfd_create")
"""True when a spawned process can be given the memory."""


class SharedMemory:
    """``size`` bytes, zero at first."""

    def __init__(self, size: int, *, descriptor: int = -1) -> None:
        """With ``descriptor``, open memory that another process made; the descriptor is taken over."""
        self.size = size
        if descriptor < 0 and CAN_BE_PASSED:
            descriptor = os.memfd_create("davault", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        """What to pass to a spawned process; -1 where that cannot be done."""
        self.map = mmap.mmap(descriptor, size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            # Fewer page faults. A kernel built without huge pages refuses, which changes nothing else.
            with suppress(OSError):
                self.map.madvise(mmap.MADV_HUGEPAGE)

    def close(self) -> None:
        """Give the memory back, as soon as the last view of it is gone."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        with suppress(BufferError):  # a view is still out: the map goes when that does
            self.map.close()


class SlotMemory:
    """Pack buffers of equal size in one piece of shared memory."""

    def __init__(self, count: int, slot_size: int, *, descriptor: int = -1) -> None:
        """``slot_size`` in bytes; ``descriptor`` as for ``SharedMemory``."""
        self.count = count
        self.slot_size = slot_size
        self._memory = SharedMemory(count * slot_size, descriptor=descriptor)
        self._view = memoryview(self._memory.map)

    @property
    def descriptor(self) -> int:
        """What to pass to a spawned process."""
        return self._memory.descriptor

    def slot(self, number: int) -> memoryview:
        """The buffer of this number."""
        return self._view[number * self.slot_size : (number + 1) * self.slot_size]

    def close(self) -> None:
        """Give the memory back, as soon as the last slot is no longer in use."""
        self._view.release()
        self._memory.close()
