"""Bodies for measuring a server: noise that nothing on the way can compress, and an upload that breaks off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from backup_core.storage.webdav.transfer import SLICE


class CutOff(Exception):
    """An upload was broken off on purpose."""


class HalfBody:
    """A body that says ``size``, ends after ``sent`` bytes by breaking the connection, and looks around before."""

    def __init__(self, size: int, sent: int, look: Callable[[], None]) -> None:
        self.size = size
        self._sent = sent
        self._look = look

    def __iter__(self) -> Iterator[bytes]:
        content = noise(self._sent, 4)
        for start in range(0, len(content), SLICE):
            yield content[start : start + SLICE]
        self._look()
        raise CutOff


def noise(size: int, seed: int) -> bytes:
    """Bytes that cannot be compressed, the same for the same ``seed``: SHAKE's output."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)
