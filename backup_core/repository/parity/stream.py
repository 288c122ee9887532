"""The packs of a group laid end to end in a file on this machine, and its cells."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backup_core.errors import RepositoryError
from backup_core.format.parity import ParityLayout

_SPARE = 256 << 20
"""Bytes that stay free on the disk."""


class PackStream:
    """A file that is cut into the cells of a layout. Memory is bounded by one row, whatever the size."""

    def __init__(self, file: IO[bytes], layout: ParityLayout) -> None:
        """``file`` holds the packs, and stays open as long as this is used."""
        self.layout = layout
        file.flush()
        file.truncate(layout.data * layout.shard)
        self._file = file.fileno()

    def cells(self, row: int) -> list[bytes]:
        """The data cells of a row."""
        return [self.part(at, self.layout.cell) for at in self.layout.places(row)]

    def replace(self, row: int, cells: bytes) -> None:
        """Put other data cells, end to end, in place of those of a row."""
        size = self.layout.cell
        for number, at in enumerate(self.layout.places(row)):
            os.pwrite(self._file, cells[number * size : (number + 1) * size], at)

    def part(self, start: int, length: int) -> bytes:
        """Bytes of the packs laid end to end."""
        return os.pread(self._file, length, start)


@contextmanager
def scratch_file(directory: Path, needed: int) -> Iterator[IO[bytes]]:
    """A file without a name, for ``needed`` bytes. Raises ``RepositoryError`` when the disk has no room for it, or
    cannot be used in the block."""
    if shutil.disk_usage(directory).free < needed + _SPARE:
        raise RepositoryError(f"there is no room for {needed} bytes in {directory}, which parity needs for a while")
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            yield file
    except OSError as error:
        raise RepositoryError(f"parity could not be reckoned in {directory}: {error}") from error
