"""Part of an open file as an object's content, read when it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import overload

from backup_core.types import Buffer

_SLICE = 256 << 10


class FileSlices(Sequence[memoryview]):
    """``size`` bytes of a file from ``offset`` on, as buffers that are read anew each time they are asked for.

    So an object takes no memory while it waits, and little while it is sent. The file stays its owner's, who keeps it
    open and unchanged. Reading raises ``OSError``, also when the file has become shorter.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self.size = size
        """Bytes."""

    def __len__(self) -> int:
        return (self.size + _SLICE - 1) // _SLICE

    def __iter__(self) -> Iterator[memoryview]:
        return (self._slice(number) for number in range(len(self)))

    @overload
    def __getitem__(self, number: int) -> memoryview: ...
    @overload
    def __getitem__(self, number: slice) -> list[memoryview]: ...
    def __getitem__(self, number: int | slice) -> memoryview | list[memoryview]:
        if isinstance(number, slice):
            return [self._slice(n) for n in range(len(self))[number]]
        return self._slice(range(len(self))[number])

    def _slice(self, number: int) -> memoryview:
        start = number * _SLICE
        length = min(_SLICE, self.size - start)
        data = os.pread(self._descriptor, length, self._offset + start)
        if len(data) != length:
            raise OSError(f"a temporary file ended {length - len(data)} bytes early")
        return memoryview(data)


def as_buffer(content: Buffer | FileSlices) -> Buffer:
    """The whole content in memory."""
    return b"".join(content) if isinstance(content, FileSlices) else content
