from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import BlobMissing, ConnectionLost, Corrupt
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.ids import blob_id
from backup_core.format.layout import pack_name
from backup_core.format.tree import encode_tree
from backup_core.repository import blob_reader
from backup_core.repository.blob_reader import MAX_GAP, MAX_RUN, plan_runs
from backup_core.repository.repository import Repository
from backup_core.testing.faults import Fault, FaultyBackend
from backup_core.testing.recording import RecordingBackend
from backup_core.types import BlobId, BlobLocation, BlobType, PackId, TreeId

PACK = PackId(b"\x01" * 32)


def at(offset: int, length: int = 100) -> tuple[BlobId, BlobLocation]:
    return BlobId(offset.to_bytes(32, "big")), BlobLocation(PACK, BlobType.DATA, offset, length, 0)


def located(repository: Repository, blobs: list[BlobId]) -> dict[PackId, list[tuple[BlobId, BlobLocation]]]:
    found: dict[PackId, list[tuple[BlobId, BlobLocation]]] = {}
    for blob in blobs:
        place = repository.index.find(blob)
        assert place is not None
        found.setdefault(place.pack, []).append((blob, place))
    return found


@pytest.fixture
def stored(place: Any, store: Callable[..., Any]) -> Any:
    repository = place.open()
    made = store(repository, [os.urandom(3000) for _ in range(20)])
    repository.close()
    return made


def loaded(place: Any, backend: Any = None, *, cache: Path | None = None) -> Repository:
    repository: Repository = place.open(backend, cache=cache)
    repository.load_index()
    return repository


def test_neighbours_come_in_one_request_and_far_ones_apart() -> None:
    blobs = [at(0), at(100), at(200 + MAX_GAP), at(300 + 2 * MAX_GAP + 1)]
    runs = plan_runs(blobs[::-1])
    assert [(run.offset, run.length, len(run.blobs)) for run in runs] == [
        (0, 300 + MAX_GAP, 3),
        (300 + 2 * MAX_GAP + 1, 100, 1),
    ]
    assert plan_runs([]) == []


def test_no_request_asks_for_more_than_fits_into_memory() -> None:
    step = 8 * 1024 * 1024
    runs = plan_runs([at(number * step, step) for number in range(40)])
    assert max(run.length for run in runs) <= MAX_RUN
    assert sum(run.length for run in runs) == 40 * step


def test_a_pack_is_read_in_one_request(place: Any, stored: Any) -> None:
    recording = RecordingBackend(place.server)
    repository = loaded(place, recording)
    recording.clear()
    ((pack, wanted),) = located(repository, stored.blobs).items()
    assert dict(repository.fetch_blobs(pack, wanted)) == dict(zip(stored.blobs, stored.contents, strict=True))
    assert [o.verb for o in recording.operations] == ["get"]


def test_a_damaged_blob_is_named_and_its_neighbours_are_read(place: Any, stored: Any) -> None:
    repository = loaded(place)
    ((pack, wanted),) = located(repository, stored.blobs).items()
    victim, spot = wanted[7]
    content = bytearray(place.server.objects[pack_name(pack)])
    content[spot.offset + 50] ^= 1
    place.server.objects[pack_name(pack)] = bytes(content)
    results = dict(repository.fetch_blobs(pack, wanted))
    damaged = results.pop(victim)
    assert isinstance(damaged, Corrupt)
    assert damaged.object_id == pack.hex()
    assert victim.hex()[:16] in str(damaged)
    assert len(results) == 19 and all(isinstance(content, bytes) for content in results.values())


def test_a_cut_pack_gives_what_lies_before_the_cut(place: Any, stored: Any) -> None:
    repository = loaded(place)
    ((pack, wanted),) = located(repository, stored.blobs).items()
    cut = sorted(spot.offset for _, spot in wanted)[10]
    place.server.objects[pack_name(pack)] = place.server.objects[pack_name(pack)][: cut + 5]
    results = list(repository.fetch_blobs(pack, wanted))
    assert [isinstance(content, bytes) for _, content in results] == [True] * 10 + [False] * 10
    assert "cut off" in str(results[-1][1])


def test_a_missing_pack_is_damage_and_a_lost_connection_is_not(place: Any, stored: Any) -> None:
    repository = loaded(place)
    ((pack, wanted),) = located(repository, stored.blobs).items()
    broken = loaded(place, FaultyBackend(place.server, Fault(0, verbs=frozenset({"get"}))))
    with pytest.raises(ConnectionLost):
        list(broken.fetch_blobs(pack, wanted))
    place.server.delete(pack_name(pack))
    assert all("missing on the server" in str(content) for _, content in repository.fetch_blobs(pack, wanted))


def test_content_under_another_name_is_noticed(place: Any, stored: Any) -> None:
    """A box that is authentic, but not the one that was asked for."""
    repository = loaded(place)
    ((pack, wanted),) = located(repository, stored.blobs[:2]).items()
    (first, _), (_, second_place) = wanted
    ((_, content),) = repository.fetch_blobs(pack, [(first, second_place)])
    assert isinstance(content, Corrupt) and "this hash" in str(content)


def test_a_box_of_another_key_is_noticed(place: Any, stored: Any) -> None:
    repository = loaded(place)
    ((pack, ((blob, spot),)),) = located(repository, stored.blobs[:1]).items()
    forged = Sealer(MasterKey.generate(os.urandom)).seal(bytes(spot.length - 32))
    content = place.server.objects[pack_name(pack)]
    end = spot.offset + spot.length
    place.server.objects[pack_name(pack)] = content[: spot.offset] + forged + content[end:]
    with pytest.raises(Corrupt):
        repository.read_blob(blob)


def test_a_blob_in_two_packs_is_read_from_the_whole_one(place: Any, stored: Any, store: Callable[..., Any]) -> None:
    repository = loaded(place)
    (first,) = located(repository, stored.blobs)
    repository.index.hide_packs([first])
    again = store(repository, stored.contents)  # a backup that knows the pack is bad stores everything anew
    assert again.blobs == stored.blobs
    fresh = loaded(place, cache=place.cache.with_name("other"))
    assert len(fresh.index.find_all(stored.blobs[0])) == 2
    place.server.objects[pack_name(first)] = b"damage"
    assert [fresh.read_blob(blob) for blob in stored.blobs] == stored.contents


def test_what_no_index_knows_is_missing(place: Any, stored: Any) -> None:
    repository = loaded(place)
    with pytest.raises(BlobMissing) as caught:
        repository.read_blob(BlobId(bytes(32)))
    assert caught.value.blob == bytes(32).hex()
    with pytest.raises(BlobMissing):
        repository.read_tree(TreeId(stored.blobs[0]))  # data is no tree


def test_trees_of_earlier_runs_cost_no_request(place: Any, stored: Any) -> None:
    recording = RecordingBackend(place.server)
    repository = loaded(place, recording)
    recording.clear()
    assert len(repository.read_tree(stored.tree)) == 20
    assert repository.read_tree(stored.tree) is repository.read_tree(stored.tree)
    assert recording.operations == []


def test_another_machine_fetches_a_tree_pack_once(place: Any, store: Callable[..., Any]) -> None:
    texts = [encode_tree([]) + b" " * number for number in range(30)]
    writer = place.open()
    with writer.lock():
        writer.load_index()
        with writer.uploader() as uploader:
            trees = [writer.blob_store(uploader)]
            ids = [trees[0].save_tree(text) for text in texts]
            trees[0].flush()
            uploader.finish()
    recording = RecordingBackend(place.server)
    reader = loaded(place, recording, cache=place.cache.with_name("other"))
    recording.clear()
    with ThreadPoolExecutor(8) as pool:
        assert all(nodes == [] for nodes in pool.map(reader.read_tree, ids))
    assert [o.verb for o in recording.operations] == ["get"]


def test_a_tree_of_a_huge_pack_is_fetched_alone_and_kept(
    place: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_reader, "WHOLE_TREE_PACK", 10)
    for expected in (1, 0):
        recording = RecordingBackend(place.server)
        reader = loaded(place, recording, cache=place.cache.with_name("other"))
        assert len(reader.read_tree(stored.tree)) == 20
        assert recording.names("get").count(pack_name(reader.index.find_all(stored.tree)[0].pack)) == expected


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "empty"])
def test_a_damaged_cache_is_repaired_from_the_server(place: Any, stored: Any, damage: str) -> None:
    for path in [p for p in (place.cache / place.open().id).rglob("*") if p.is_file()]:
        content = path.read_bytes()
        if damage == "flip":
            path.write_bytes(content[: len(content) // 2] + b"\0\1\2" + content[len(content) // 2 + 3 :])
        elif damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "empty":
            path.write_bytes(b"")
        else:
            path.unlink()
    repository = place.open()
    assert [s.id for s in repository.snapshots()] == [stored.snapshot]
    repository.load_index()
    assert len(repository.read_tree(stored.tree)) == 20
    assert [repository.read_blob(blob) for blob in stored.blobs] == stored.contents
    repository.close()
    # And it is whole again: nothing more is fetched.
    recording = RecordingBackend(place.server)
    again = loaded(place, recording)
    again.snapshots()
    again.read_tree(stored.tree)
    assert recording.names("get") == []


def test_a_damaged_tree_on_the_server_is_an_error_that_names_it(place: Any, stored: Any) -> None:
    reader = loaded(place, cache=place.cache.with_name("other"))
    tree_place = reader.index.find(stored.tree)
    assert tree_place is not None
    content = place.server.objects[pack_name(tree_place.pack)]
    place.server.objects[pack_name(tree_place.pack)] = content[:10] + bytes([content[10] ^ 1]) + content[11:]
    with pytest.raises(Corrupt, match=stored.tree.hex()[:16]):
        reader.read_tree(stored.tree)


def test_memory_for_decoded_trees_is_bounded(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_reader, "TREE_MEMORY", 100)
    writer = place.open()
    with writer.lock():
        writer.load_index()
        with writer.uploader() as uploader:
            trees = writer.blob_store(uploader)
            ids = [trees.save_tree(encode_tree([]) + b" " * number) for number in range(30)]
            trees.flush()
            uploader.finish()
    for tree in ids:
        writer.read_tree(tree)
    assert writer.reader._trees._held <= 100
    first = writer.read_tree(ids[-1])
    assert writer.read_tree(ids[-1]) is first


def test_many_threads_read_at_once(place: Any, stored: Any) -> None:
    repository = loaded(place)
    barrier = threading.Barrier(6)

    def work(number: int) -> bool:
        barrier.wait()
        order = stored.blobs[number:] + stored.blobs[:number]
        return all(blob_id(repository.read_blob(blob)) == blob for blob in order)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
