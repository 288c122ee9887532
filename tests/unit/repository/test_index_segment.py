from __future__ import annotations

import random
from pathlib import Path

import pytest

from backup_core.errors import Corrupt
from backup_core.format.pack import pack_size_of
from backup_core.repository.index_builder import SegmentBuilder, merge_segments
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobType, IndexId, PackedBlob, PackId

FIRST, SECOND = IndexId("11" * 32), IndexId("22" * 32)


def synthetic(count: int, *, per_pack: int = 100, seed: int = 1) -> list[tuple[PackId, list[PackedBlob]]]:
    chance = random.Random(seed)
    packs = []
    while count > 0:
        blobs, offset = [], 0
        for _ in range(min(per_pack, count)):
            length = chance.randrange(33, 100_000)
            plain = chance.choice((0, length * 2))
            blobs.append(PackedBlob(BlobId(chance.randbytes(32)), BlobType(chance.randrange(2)), offset, length, plain))
            offset += length
        packs.append((PackId(chance.randbytes(32)), blobs))
        count -= per_pack
    return packs


def build(path: Path, *indexes: tuple[IndexId, list[tuple[PackId, list[PackedBlob]]]], **options: int) -> Segment:
    with SegmentBuilder(path.parent, **options) as builder:
        for index, packs in indexes:
            builder.add_index(index, packs)
        return Segment(builder.write(path))


def test_every_blob_is_found_with_its_place_among_many(tmp_path: Path) -> None:
    packs = synthetic(300_000)
    segment = build(tmp_path / "one", (FIRST, packs), spill_bytes=4 * 1024 * 1024)
    assert len(segment) == 300_000
    for pack, blobs in packs[::50]:
        for blob, kind, offset, length, plain in blobs:
            assert list(segment.locations(blob)) == [(pack, kind, offset, length, plain)]
    chance = random.Random(2)
    assert not any(list(segment.locations(BlobId(chance.randbytes(32)))) for _ in range(2000))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_spills_to_disk_makes_the_same_file_as_what_stays_in_memory(tmp_path: Path) -> None:
    packs = synthetic(5000)
    build(tmp_path / "memory", (FIRST, packs))
    build(tmp_path / "disk", (FIRST, packs), spill_bytes=1000)
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "disk").read_bytes()


def test_a_pack_gives_its_blobs_and_its_size(tmp_path: Path) -> None:
    packs = synthetic(2000, per_pack=7)
    segment = build(tmp_path / "one", (FIRST, packs))
    for pack, blobs in packs:
        assert sorted(segment.pack_blobs(pack)) == sorted(blobs)
    assert list(segment.packs()) == sorted((pack, pack_size_of(blobs)) for pack, blobs in packs)
    assert segment.pack_blobs(PackId(bytes(32))) == []


def test_entries_ascend_by_id(tmp_path: Path) -> None:
    packs = synthetic(3000)
    segment = build(tmp_path / "one", (FIRST, packs))
    ids = [blob for blob, _ in segment.entries()]
    assert ids == sorted(blob.id for _, blobs in packs for blob in blobs)


def test_a_blob_in_two_packs_has_two_places(tmp_path: Path) -> None:
    blob = BlobId(b"\xff" * 32)
    one, two = PackId(b"\x01" * 32), PackId(b"\x02" * 32)
    entry = PackedBlob(blob, BlobType.DATA, 0, 50, 0)
    segment = build(tmp_path / "one", (FIRST, [(one, [entry])]), (SECOND, [(two, [entry])]))
    assert {place.pack for place in segment.locations(blob)} == {one, two}


def test_an_id_that_straddles_two_records_is_not_taken_for_a_record(tmp_path: Path) -> None:
    # Two records whose bytes together contain, off the grid, the very id that is looked for.
    wanted = BlobId(bytes(2) + b"\0" * 30)
    low = PackedBlob(BlobId(b"\0\0" + b"\0" * 29 + b"\1"), BlobType.DATA, 0, 0, 0)
    high = PackedBlob(BlobId(b"\0\0" + b"\0" * 29 + b"\2"), BlobType.DATA, 0, 0, 0)
    segment = build(tmp_path / "one", (FIRST, [(PackId(bytes(32)), [low, high])]))
    assert list(segment.locations(wanted)) == []
    assert len(list(segment.locations(high.id))) == 1


def test_a_merge_equals_a_build_of_everything(tmp_path: Path) -> None:
    some, more = synthetic(4000, seed=3), synthetic(300, seed=4)
    merged = Segment(
        merge_segments(
            [build(tmp_path / "a", (FIRST, some)), build(tmp_path / "b", (SECOND, more))], tmp_path / "merged"
        )
    )
    build(tmp_path / "whole", (FIRST, some), (SECOND, more))
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()
    assert merged.index_ids == {FIRST, SECOND}


def test_an_empty_segment_answers(tmp_path: Path) -> None:
    segment = build(tmp_path / "one", (FIRST, []))
    assert (len(segment), list(segment.packs()), list(segment.entries())) == (0, [], [])
    assert list(segment.locations(BlobId(b"\xff" * 32))) == []
    assert segment.index_ids == {FIRST}


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one"
    build(path, (FIRST, synthetic(200)))
    content = path.read_bytes()
    for at in (0, 9, 40, 62, 64, 5000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(Corrupt):
            Segment(path)


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one"
    build(path, (FIRST, synthetic(200)))
    content = path.read_bytes()
    for length in (0, 10, 64, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(Corrupt):
            Segment(path)


def test_a_build_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SegmentBuilder(tmp_path, spill_bytes=100) as builder:
        builder.add_index(FIRST, synthetic(100))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
