"""Where packs lie from their first blob until the server has them: places of equal size in one file without a name.

The file is on the disk of the local cache, so that packs which wait for a slow server take no memory: what the kernel
keeps of it is cache, which it drops when memory is short. What lies there is sealed, as it will on the server. Where
that disk has no room to spare, or there is none, the file is an anonymous one in memory (``memfd_create``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from backup_core.storage.file_slices import FileSlices

_ROOM_TO_SPARE = 1 << 30
"""Bytes that stay free on the disk, or else memory is taken."""


class PackSlots:
    """Places for packs, which several processes write and one reads."""

    def __init__(self, count: int, slot_size: int, *, directory: Path | None = None, descriptor: int = -1) -> None:
        """``slot_size`` in bytes; ``directory``: on the disk to use, None for memory. With ``descriptor``, open the
        file that another process made; the descriptor is taken over."""
        self.count = count
        self.slot_size = slot_size
        found = descriptor if descriptor >= 0 else _on_disk(count * slot_size, directory)
        self.in_memory = found is None
        """Whether packs take memory while they lie here."""
        self.descriptor = _in_memory() if found is None else found
        """What to pass to another process."""
        self._lock = threading.Lock()
        self._lent = 0
        self._closed = False

    def write(self, number: int, offset: int, data: memoryview) -> None:
        """Put ``data`` into a slot. Raises ``OSError``, and ``ValueError`` beyond the slot's end."""
        if offset + len(data) > self.slot_size:
            raise ValueError(f"{len(data)} bytes at {offset} do not fit into a slot of {self.slot_size}")
        at = number * self.slot_size + offset
        with self._lock:  # or a worker thread left behind might write to a file that got this descriptor's number
            while len(data):
                try:
                    written = os.pwrite(self.descriptor, data, at)
                except OSError as error:
                    told = f"packs cannot be kept until they are uploaded ({error.strerror}): look at the cache's disk"
                    raise OSError(error.errno, told) from error
                at, data = at + written, data[written:]

    def lend(self, number: int, size: int) -> FileSlices:
        """The first ``size`` bytes of a slot, to be read until ``take_back`` is called, even after ``close``."""
        with self._lock:
            self._lent += 1
        return FileSlices(self.descriptor, number * self.slot_size, size)

    def take_back(self) -> None:
        """Something lent is no longer read."""
        with self._lock:
            self._lent -= 1
            self._close_if_done()

    def close(self) -> None:
        """Give the file back, as soon as nothing of it is lent any more. May be called again."""
        with self._lock:
            self._closed = True
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closed and not self._lent and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _on_disk(size: int, directory: Path | None) -> int | None:
    if directory is not None:
        with suppress(OSError):
            if shutil.disk_usage(directory).free >= size + _ROOM_TO_SPARE:
                return _unnamed(directory)
    return None


def _in_memory() -> int:
    return os.memfd_create("davault-packs", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else _unnamed(None)


def _unnamed(directory: Path | None) -> int:
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return os.dup(file.fileno())
