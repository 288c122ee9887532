"""Making sure that what was written is on the disk and not only in memory (docs/decisions/restored-and-on-disk.md)."""

from __future__ import annotations

import ctypes
import os


def flush_to_disk(descriptor: int) -> None:
    """Return when everything written so far to the file system of an open file or directory is on its disk.

    Raises ``OSError`` when the disk refused some of it (Linux 5.8 and later tell; syncfs(2)).
    """
    flush = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if flush is None:
        os.sync()  # other systems know only how to flush all disks
        return
    if flush(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
