from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from backup_core.errors import RepositoryError
from backup_core.format.pack import pack_size_of
from backup_core.repository.index import Index, IndexView
from backup_core.repository.index_builder import SegmentBuilder, merge_segments
from backup_core.repository.index_loader import choose_merge
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId


def blob(number: int) -> BlobId:
    return BlobId(number.to_bytes(2, "big") * 16)


def pack(number: int) -> PackId:
    return PackId(bytes([number]) * 32)


def listing(number: int, *blobs: int, kind: BlobType = BlobType.DATA) -> tuple[PackId, list[PackedBlob]]:
    return pack(number), [PackedBlob(blob(b), kind, 100 * place, 100, 0) for place, b in enumerate(blobs)]


def answers(index: Index) -> tuple[object, ...]:
    one = pack(1)
    return index.find(blob(11)), index.pack_blobs(one), index.pack_size(one), len(index), list(index.packs())


@pytest.fixture
def index(tmp_path: Path) -> Index:
    def save(name: IndexId, packs: object) -> Segment:
        with SegmentBuilder(tmp_path) as builder:
            builder.add_index(name, packs)  # type: ignore[arg-type]
            return Segment(builder.write(tmp_path / name[:8]))

    return Index(save=save)  # type: ignore[arg-type]


def test_packs_of_this_run_are_found_before_and_after_they_are_listed(index: Index) -> None:
    index.add_pack(*listing(1, 10, 11))
    before = (
        index.find(blob(11)),
        index.pack_blobs(pack(1)),
        index.pack_size(pack(1)),
        len(index),
        list(index.packs()),
    )
    index.commit(IndexId("aa" * 32), [listing(1, 10, 11)])
    assert answers(index) == before
    assert before[0] == BlobLocation(pack(1), BlobType.DATA, 100, 100, 0)
    assert index.index_ids == {"aa" * 32}


def test_the_size_of_a_pack_is_known_without_its_blobs_unless_it_is_listed_in_parts(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = listing(1, 10, 11, 12)
    parts = [(pack(2), listing(2, 20, 21, 22)[1][:2]), (pack(2), listing(2, 20, 21, 22)[1][2:])]
    index.commit(IndexId("aa" * 32), [whole, parts[0]])
    index.commit(IndexId("bb" * 32), [parts[1]])
    assert index.pack_size(pack(2)) == pack_size_of(listing(2, 20, 21, 22)[1])
    assert index.pack_size(pack(3)) is None
    monkeypatch.delattr(Index, "pack_blobs")
    monkeypatch.delattr(IndexView, "pack_blobs")
    assert index.pack_size(pack(1)) == pack_size_of(whole[1])


def test_memory_is_given_back_when_packs_are_listed(index: Index) -> None:
    index.add_pack(*listing(1, 10))
    index.add_pack(*listing(2, 10, 12))
    index.commit(IndexId("aa" * 32), [listing(1, 10)])
    assert {place.pack for place in index.find_all(blob(10))} == {pack(1), pack(2)}
    index.commit(IndexId("bb" * 32), [listing(2, 10, 12)])
    assert index._delta == {} and index._delta_packs == {}
    assert {place.pack for place in index.find_all(blob(10))} == {pack(1), pack(2)}


def test_a_full_disk_leaves_packs_in_memory(index: Index) -> None:
    full = Index(save=lambda name, packs: None)
    full.add_pack(*listing(1, 10))
    full.commit(IndexId("aa" * 32), [listing(1, 10)])
    assert full.find(blob(10)) is not None


def test_the_same_id_as_data_and_as_tree_are_two_blobs(index: Index) -> None:
    index.add_pack(*listing(1, 10))
    assert index.contains(blob(10), BlobType.DATA)
    assert not index.contains(blob(10), BlobType.TREE)
    index.commit(IndexId("aa" * 32), [listing(1, 10)])
    assert not index.contains(blob(10), BlobType.TREE)
    index.add_pack(*listing(2, 10, kind=BlobType.TREE))
    tree = index.find(blob(10), BlobType.TREE)
    assert tree is not None and tree.pack == pack(2)
    index.commit(IndexId("bb" * 32), [listing(2, 10, kind=BlobType.TREE)])
    found = [index.find(blob(10), kind) for kind in (BlobType.DATA, BlobType.TREE)]
    assert [place.pack for place in found if place is not None] == [pack(1), pack(2)]


def test_hidden_packs_are_passed_over_everywhere(index: Index) -> None:
    index.add_pack(*listing(1, 10))
    index.commit(IndexId("aa" * 32), [listing(1, 10)])
    index.add_pack(*listing(2, 10, 11))
    index.hide_packs([pack(1)])
    assert [place.pack for place in index.find_all(blob(10))] == [pack(2)]
    index.hide_packs([pack(2)])
    assert blob(10) not in index and blob(11) not in index
    assert list(index.packs()) == [pack(1), pack(2)]
    assert blob(10) not in IndexView.open(index.path)


def test_another_process_opens_the_same_segments(index: Index) -> None:
    index.add_pack(*listing(1, 10))
    index.commit(IndexId("aa" * 32), [listing(1, 10)])
    view = IndexView.open(pickle.loads(pickle.dumps(index.path)))
    assert view.find(blob(10)) == index.find(blob(10))
    assert blob(99) not in view


def test_a_cache_deleted_under_a_worker_is_an_error_that_says_so(index: Index, tmp_path: Path) -> None:
    index.commit(IndexId("aa" * 32), [listing(1, 10)])
    handle = index.path
    for path in handle.paths:
        path.unlink()
    with pytest.raises(RepositoryError, match="Start again"):
        IndexView.open(handle)
    assert blob(10) in index  # what is open stays usable


def test_a_pack_split_over_two_index_files_is_put_together(index: Index) -> None:
    whole = listing(1, 10, 11, 12)
    index.commit(IndexId("aa" * 32), [(whole[0], whole[1][:2])])
    index.commit(IndexId("bb" * 32), [(whole[0], whole[1][2:])])
    assert index.pack_blobs(pack(1)) == whole[1]
    fresh = Index()
    fresh.add_pack(*whole)
    assert list(index.pack_sizes()) == list(fresh.pack_sizes())
    assert index.pack_size(pack(1)) == fresh.pack_size(pack(1))


def test_a_pack_listed_twice_counts_once(index: Index) -> None:
    index.commit(IndexId("aa" * 32), [listing(1, 10, 11)])
    index.commit(IndexId("bb" * 32), [listing(1, 10, 11)])
    assert list(index.packs()) == [pack(1)]
    assert index.pack_blobs(pack(1)) == listing(1, 10, 11)[1]
    assert len(index.find_all(blob(10))) == 1


def test_entries_of_segments_and_memory_come_in_one_order(index: Index) -> None:
    index.commit(IndexId("aa" * 32), [listing(1, 10, 40)])
    index.add_pack(*listing(2, 20, 30))
    assert [entry for entry, _ in index.entries()] == [blob(number) for number in (10, 20, 30, 40)]


def test_a_refresh_keeps_what_this_run_has_added(index: Index, tmp_path: Path) -> None:
    index.add_pack(*listing(1, 10))
    index.add_pack(*listing(2, 20))
    with SegmentBuilder(tmp_path) as builder:
        builder.add_index(IndexId("cc" * 32), [listing(2, 20), listing(3, 30)])
        fresh = Index([Segment(builder.write(tmp_path / "fresh"))], complete=False)
    index.adopt(fresh)
    assert all(blob(number) in index for number in (10, 20, 30))
    assert index._delta_packs.keys() == {pack(1)}
    assert not index.complete


def test_segments_of_similar_size_are_merged_and_large_ones_are_left() -> None:
    assert choose_merge([10, 10, 10]) == frozenset()
    assert choose_merge([10_000_000, 10, 5, 1000, 1]) == {1, 2, 3, 4}
    assert choose_merge([20_000] * 4 + [3]) == {0, 1, 2, 3}
    assert choose_merge([]) == frozenset()


def test_growing_by_many_index_files_keeps_few_segments(tmp_path: Path) -> None:
    sizes: list[int] = []
    written = 0
    for _ in range(200):  # ten million blobs in steps of fifty thousand
        sizes.append(50_000)
        while group := choose_merge(sizes):
            merged = sum(sizes[number] for number in group)
            sizes = [size for number, size in enumerate(sizes) if number not in group] + [merged]
            written += merged
    assert len(sizes) <= 12
    assert written <= 6 * sum(sizes)


def test_merged_segments_answer_like_their_parts(tmp_path: Path, index: Index) -> None:
    for number in range(1, 6):
        index.commit(IndexId(f"{number:02x}" * 32), [listing(number, number, 100)])
    segments = [Segment(path) for path in index.path.paths]
    merged = Index([Segment(merge_segments(segments, tmp_path / "merged"))])
    assert sorted(merged.find_all(blob(100))) == sorted(index.find_all(blob(100)))
    assert list(merged.pack_sizes()) == list(index.pack_sizes())
