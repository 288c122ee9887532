"""Objects that are read from a file while they are sent."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_core.storage.file_slices import FileSlices, as_buffer
from backup_core.storage.names import as_views

CONTENT = random.Random(1).randbytes(700_001)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(CONTENT)
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(("offset", "size"), [(0, 0), (0, 1), (5, 262_144), (7, 262_145), (0, 700_001), (1, 700_000)])
def test_the_slices_are_the_content_each_time_they_are_read(descriptor: int, offset: int, size: int) -> None:
    slices = FileSlices(descriptor, offset, size)
    for _ in range(2):
        assert b"".join(slices) == CONTENT[offset : offset + size]
    assert as_buffer(slices) == CONTENT[offset : offset + size]
    assert [bytes(slices[n]) for n in range(len(slices))] == [bytes(part) for part in slices[:]]
    assert as_views(slices) == (slices, size)


def test_a_file_that_became_shorter_is_an_error(descriptor: int) -> None:
    with pytest.raises(OSError, match="ended 9 bytes early"):
        as_buffer(FileSlices(descriptor, 700_000, 10))
    with pytest.raises(IndexError):
        FileSlices(descriptor, 0, 10)[1]
