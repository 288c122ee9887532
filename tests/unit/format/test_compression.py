"""Frames: exact lengths, bounded memory, nothing before or after."""

from __future__ import annotations

import random

import pytest
import zstandard

from backup_core.errors import Corrupt, UnsupportedVersion
from backup_core.format import compression
from backup_core.format.compression import Compressor, Decompressor, pack_unpacked, unpack_unpacked

TEXT = b"the same words again and again " * 300
SILENT = zstandard.ZstdCompressor(write_content_size=False)
"""Its frames do not tell how long their content is; restic writes such ones."""


@pytest.mark.parametrize("level", [1, 3, 19])
def test_what_is_compressed_comes_back(level: int) -> None:
    frame = Compressor(level).compress(memoryview(TEXT))
    assert frame is not None
    assert len(frame) < len(TEXT) // 10
    assert Decompressor().decompress(frame, len(TEXT)) == TEXT


@pytest.mark.parametrize("level", [0, -1, 20, 22])
def test_levels_that_readers_would_not_take_are_refused(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        Compressor(level)


def test_what_does_not_shrink_is_left_alone() -> None:
    compressor = Compressor()
    assert compressor.compress(random.Random(1).randbytes(5000)) is None
    assert compressor.compress(b"a") is None


def test_contexts_are_used_again() -> None:
    compressor, decompressor = Compressor(), Decompressor()
    for number in range(1, 20):
        frame = compressor.compress(TEXT * number)
        assert frame is not None
        assert decompressor.decompress(frame, len(TEXT) * number) == TEXT * number


@pytest.mark.parametrize("frame", [zstandard.ZstdCompressor().compress(TEXT), SILENT.compress(TEXT)])
def test_only_the_exact_length_is_taken(frame: bytes) -> None:
    decompressor = Decompressor()
    assert decompressor.decompress(frame, len(TEXT)) == TEXT
    for length in (0, -1, 1, len(TEXT) - 1, len(TEXT) + 1, 1 << 31):
        with pytest.raises(Corrupt):
            decompressor.decompress(frame, length)


@pytest.mark.parametrize("frame", [zstandard.ZstdCompressor().compress(TEXT), SILENT.compress(TEXT)])
def test_broken_frames_are_corrupt(frame: bytes) -> None:
    decompressor = Decompressor()
    for broken in (b"", frame[:3], frame[:-1], frame[1:], frame + b"x", frame + frame, b"\0" * 100):
        with pytest.raises(Corrupt):
            decompressor.decompress(broken, len(TEXT))
    assert decompressor.decompress(frame, len(TEXT)) == TEXT, "a failure leaves the context usable"


@pytest.mark.parametrize("json", [b"{}", b"[]", b'{"packs":[]}' * 5000])
def test_unpacked_files(json: bytes) -> None:
    assert pack_unpacked(json)[:1] == b"\x02"
    assert unpack_unpacked(pack_unpacked(json)) == json
    assert unpack_unpacked(b"\x02" + SILENT.compress(json)) == json
    assert unpack_unpacked(json) == json, "version 1 does not compress"


@pytest.mark.parametrize("data", [b"", b"\x01{}", b" {}", b"\x03abc"])
def test_unknown_wrappings_are_told(data: bytes) -> None:
    with pytest.raises(UnsupportedVersion):
        unpack_unpacked(data)


@pytest.mark.parametrize("compressor", [zstandard.ZstdCompressor(), SILENT])
def test_broken_unpacked_files_are_corrupt(compressor: zstandard.ZstdCompressor) -> None:
    frame = compressor.compress(TEXT)
    for broken in (b"", frame[:-1], frame[1:], frame + b"x", frame + frame):
        with pytest.raises(Corrupt):
            unpack_unpacked(b"\x02" + broken)


@pytest.mark.parametrize("compressor", [zstandard.ZstdCompressor(), SILENT])
def test_unpacked_files_cannot_grow_without_bound(
    compressor: zstandard.ZstdCompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(Corrupt, match=r"1048577|more than"):
        unpack_unpacked(b"\x02" + compressor.compress(bytes((1 << 20) + 1)))
