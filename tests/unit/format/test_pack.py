"""Packs: built in place, read back, and every disagreement noticed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from backup_core.errors import Corrupt
from backup_core.format import pack as pack_module
from backup_core.format.cipher import OVERHEAD, Sealer
from backup_core.format.ids import blob_id, sha256
from backup_core.format.pack import (
    LENGTH_FIELD,
    FinishedPack,
    PackBuilder,
    header_box_length,
    header_size_of,
    pack_size_of,
    read_header,
)
from backup_core.types import BlobType, PackedBlob

PAYLOADS = (
    (BlobType.DATA, b"raw data", 0),
    (BlobType.DATA, b"taken as compressed", 5000),
    (BlobType.TREE, b"{}", 0),
    (BlobType.TREE, b"a compressed tree", 700),
)


def build(sealer: Sealer, buffer: bytearray) -> FinishedPack:
    builder = PackBuilder(buffer, sealer)
    for kind, payload, uncompressed in PAYLOADS:
        added = builder.add(blob_id(payload), kind, payload, uncompressed)
        assert added.offset + added.length == builder.size
    assert builder.count == len(PAYLOADS)
    return builder.finish()


@pytest.fixture
def content(sealer: Sealer) -> bytes:
    buffer = bytearray(b"\xff" * 4096)
    return bytes(buffer[: build(sealer, buffer).size])


def test_a_pack_reads_back(sealer: Sealer) -> None:
    buffer = bytearray(4096)
    finished = build(sealer, buffer)
    content = bytes(buffer[: finished.size])
    assert finished.id == sha256(content)
    assert finished.size == pack_size_of(finished.blobs)
    assert read_header(content, len(content), sealer) == list(finished.blobs)
    for blob, (kind, payload, uncompressed) in zip(finished.blobs, PAYLOADS, strict=True):
        assert sealer.open(content[blob.offset : blob.offset + blob.length]) == payload
        assert (blob.id, blob.type, blob.uncompressed_length) == (blob_id(payload), kind, uncompressed)


def in_order(parts: list[bytes]) -> Callable[[int, memoryview], None]:
    """Takes parts of a pack that come one after the other."""

    def take(offset: int, part: memoryview) -> None:
        assert offset == sum(map(len, parts))
        parts.append(bytes(part))

    return take


def test_a_pack_goes_through_a_window_that_holds_only_its_longest_blob(
    sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "_SPILL", 500)
    parts: list[bytes] = []
    builder = PackBuilder(bytearray(1032), sealer, spill=in_order(parts), capacity=5000)
    payloads = [bytes([n]) * size for n, size in enumerate([1, 400, 1000, 30, 300, 999, 7])]
    assert not builder.room_for(1001)  # longer than the window
    boxes = Sealer.seal(sealer, payloads[4])
    for number, payload in enumerate(payloads):
        if number == 4:
            builder.add_sealed(blob_id(payload), BlobType.DATA, boxes, 0)
        else:
            builder.add(blob_id(payload), BlobType.DATA, payload, 0)
    assert not builder.room_for(2000)  # beyond the capacity
    finished = builder.finish()
    content = b"".join(parts)
    assert len(parts) > 3
    assert (finished.id, finished.size) == (sha256(content), len(content))
    assert read_header(content, len(content), sealer) == list(finished.blobs)
    assert [sealer.open(content[b.offset : b.offset + b.length]) for b in finished.blobs] == payloads


def test_a_header_never_outgrows_the_window(sealer: Sealer) -> None:
    parts: list[bytes] = []
    builder = PackBuilder(bytearray(500), sealer, spill=in_order(parts), capacity=100_000)
    while builder.room_for(1):
        builder.add(blob_id(b"%d" % builder.count), BlobType.DATA, b"%d" % (builder.count % 10), 0)
    finished = builder.finish(b"\x07\x08")
    content = b"".join(parts)
    assert finished.id == sha256(content)
    assert finished.id[0] in b"\x07\x08"
    assert read_header(content, len(content), sealer) == list(finished.blobs)


def test_the_header_is_laid_out_as_the_format_says(sealer: Sealer, content: bytes) -> None:
    (length,) = struct.unpack("<I", content[-4:])
    assert length == header_box_length(content[-4:]) == OVERHEAD + 2 * 37 + 2 * 41
    header = sealer.open(content[-4 - length : -4])
    first, second = PAYLOADS[0][1], PAYLOADS[1][1]
    assert header[:37] == struct.pack("<BI", 0, len(first) + 32) + sha256(first)
    assert header[37:78] == struct.pack("<BII", 2, len(second) + 32, 5000) + sha256(second)


def test_only_the_end_of_a_pack_is_needed(sealer: Sealer, content: bytes) -> None:
    blobs = read_header(content, len(content), sealer)
    tail = content[-header_size_of(blobs) :]
    assert read_header(memoryview(tail), len(content), sealer) == blobs
    with pytest.raises(Corrupt, match="longer than"):
        read_header(tail[1:], len(content), sealer)


def test_a_pack_of_another_size_is_noticed(sealer: Sealer, content: bytes) -> None:
    for size in (len(content) - 1, len(content) + 1, 0):
        with pytest.raises(Corrupt):
            read_header(content, size, sealer)


def test_changed_headers_are_noticed(sealer: Sealer, content: bytes) -> None:
    size = header_size_of(read_header(content, len(content), sealer))
    for position in range(len(content) - size, len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x20
        with pytest.raises(Corrupt):
            read_header(changed, len(changed), sealer)


@pytest.mark.parametrize("length", [0, 1, OVERHEAD, OVERHEAD + 36, (16 << 20) + 1, (1 << 32) - 1])
def test_header_lengths_that_cannot_be(length: int) -> None:
    with pytest.raises(Corrupt):
        header_box_length(struct.pack("<I", length))


@pytest.mark.parametrize("last", [b"", b"abc", b"abcde"])
def test_the_length_field_has_four_bytes(last: bytes) -> None:
    with pytest.raises(Corrupt):
        header_box_length(last)


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<BI32s", 4, 40, b"i" * 32),
        struct.pack("<BII32s", 6, 40, 1, b"i" * 32),
        struct.pack("<BII32s", 2, 40, 0, b"i" * 32),
        struct.pack("<BI32s", 0, 31, b"i" * 32),
        struct.pack("<BI32s", 0, 40, b"i" * 32) + b"\0",
        struct.pack("<BI32s", 2, 40, b"i" * 32),
    ],
    ids=["type 4", "type 6", "compressed but empty", "shorter than a box", "left over", "cut off"],
)
def test_headers_that_were_sealed_but_make_no_sense(sealer: Sealer, entry: bytes) -> None:
    box = sealer.seal(entry)
    content = bytes(40) + box + struct.pack("<I", len(box))
    with pytest.raises(Corrupt):
        read_header(content, len(content), sealer)


def test_a_pack_says_when_it_is_full(sealer: Sealer) -> None:
    buffer = bytearray(1000)
    builder = PackBuilder(buffer, sealer)
    added = 0
    while builder.room_for(50):
        builder.add(blob_id(b"x"), BlobType.DATA, b"x" * 50, 99)
        added += 1
    with pytest.raises(ValueError, match="room"):
        builder.add(blob_id(b"x"), BlobType.DATA, b"x" * 50, 99)
    finished = builder.finish()
    assert len(finished.blobs) == added == (1000 - OVERHEAD - LENGTH_FIELD) // (50 + OVERHEAD + 41)
    assert finished.size <= len(buffer)


def test_a_pack_has_room_for_so_many_blobs_only(sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "MAX_BLOBS", 2)
    builder = PackBuilder(bytearray(1000), sealer)
    for _ in range(2):
        assert builder.room_for(1)
        builder.add(blob_id(b"x"), BlobType.DATA, b"x", 0)
    assert not builder.room_for(1)


def test_an_empty_pack_is_not_written(sealer: Sealer) -> None:
    with pytest.raises(ValueError, match="without blobs"):
        PackBuilder(bytearray(1000), sealer).finish()


def test_sizes_count_every_part() -> None:
    blobs = [PackedBlob(blob_id(b""), BlobType.DATA, 0, 100, 0), PackedBlob(blob_id(b""), BlobType.DATA, 100, 50, 80)]
    assert header_size_of(blobs) == 37 + 41 + 32 + 4
    assert pack_size_of(blobs) == 150 + header_size_of(blobs)
