from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from backup_core.errors import ConnectionLost
from backup_core.format.tree import encode_tree
from backup_core.testing.faults import Fault, FaultyBackend
from backup_core.types import BlobType


@pytest.fixture
def session(place: Any) -> Callable[..., Any]:
    """Run ``work(store)`` inside lock, uploader and finish; gives the repository and the store's totals."""

    def run(work: Callable[[Any], None], backend: Any = None, **options: Any) -> Any:
        repository = place.open(backend, **options)
        with repository.lock():
            repository.load_index()
            with repository.uploader() as uploader:
                store = repository.blob_store(uploader)
                work(store)
                store.flush()
                uploader.finish()
        return repository, store.totals

    return run


def test_the_same_content_is_stored_once(session: Any) -> None:
    content = os.urandom(500)

    def work(store: Any) -> None:
        assert store.save_blob(BlobType.DATA, content) == store.save_blob(BlobType.DATA, content)

    repository, totals = session(work)
    assert (totals.data_blobs, totals.plain_bytes, len(repository.index)) == (1, 500, 1)
    again, totals = session(work)
    assert (totals.data_blobs, len(again.index)) == (0, 1)


def test_trees_and_data_go_to_different_packs(session: Any) -> None:
    def work(store: Any) -> None:
        for number in range(10):
            store.save_blob(BlobType.DATA, os.urandom(100))
            store.save_tree(encode_tree([]) + b" " * number)

    repository, totals = session(work)
    kinds = [{blob.type for blob in repository.index.pack_blobs(pack)} for pack in repository.index.packs()]
    assert sorted(kinds, key=min) == [{BlobType.DATA}, {BlobType.TREE}]
    assert (totals.data_blobs, totals.tree_blobs) == (10, 10)


def test_content_that_is_the_text_of_a_directory_is_stored_as_both(session: Any) -> None:
    text = encode_tree([])

    def work(store: Any) -> None:
        assert store.save_blob(BlobType.DATA, text) == store.save_tree(text)

    repository, totals = session(work)
    assert (totals.data_blobs, totals.tree_blobs) == (1, 1)
    assert {place.type for _, place in repository.index.entries()} == set(BlobType)


def test_packs_are_closed_at_their_size(session: Any) -> None:
    def work(store: Any) -> None:
        for _ in range(100):
            store.save_blob(BlobType.DATA, os.urandom(1000))

    repository, _ = session(work, pack_size=10_000)
    sizes = sorted(size for _, size in repository.index.pack_sizes())
    assert len(sizes) == 10
    assert all(10_000 <= size < 12_000 for size in sizes[1:])


def test_a_blob_larger_than_any_buffer_has_a_pack_of_its_own(session: Any) -> None:
    huge = os.urandom(3_000_000)

    def work(store: Any) -> None:
        store.save_blob(BlobType.DATA, b"before")
        store.save_blob(BlobType.DATA, huge)
        store.save_blob(BlobType.DATA, b"after")

    repository, _ = session(work, pack_size=100_000)
    assert repository.check_packs() == []
    assert max(repository.index.pack_sizes(), key=lambda item: item[1])[1] > 3_000_000
    for pack in repository.index.packs():
        assert repository.check_pack_data(pack).problems == ()


def test_without_compression_data_is_stored_as_it_is_and_trees_are_not(session: Any) -> None:
    def work(store: Any) -> None:
        store.save_blob(BlobType.DATA, b"a" * 10_000)
        store.save_tree(encode_tree([]) + b" " * 10_000)

    repository, totals = session(work, compression_level=None)
    lengths = {place.type: place for _, place in repository.index.entries()}
    assert lengths[BlobType.DATA].uncompressed_length == 0
    assert lengths[BlobType.DATA].length == 10_032
    assert lengths[BlobType.TREE].length < 200
    assert totals.stored_bytes == sum(place.length for place in lengths.values())


def test_content_that_does_not_shrink_is_stored_as_it_is(session: Any) -> None:
    noise = random.Random(1).randbytes(5000)
    repository, _ = session(lambda store: store.save_blob(BlobType.DATA, noise))
    ((_, place),) = repository.index.entries()
    assert (place.length, place.uncompressed_length) == (5032, 0)


def test_many_threads_store_the_same_things_once(session: Any) -> None:
    contents = [os.urandom(200) for _ in range(200)]

    def work(store: Any) -> None:
        def save() -> None:
            for content in contents:
                store.save_blob(BlobType.DATA, content)

        threads = [threading.Thread(target=save) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    repository, totals = session(work, pack_size=5000)
    assert (totals.data_blobs, len(repository.index)) == (200, 200)


def test_buffers_are_used_again(session: Any) -> None:
    writers: list[Any] = []

    def work(store: Any) -> None:
        writers.extend(store._writers.values())
        for _ in range(300):
            store.save_blob(BlobType.DATA, os.urandom(1000))

    session(work, pack_size=5000, upload_threads=1)
    assert len(writers[0]._free) <= 5
    assert writers[0]._unstored == set()


def test_an_upload_that_fails_stops_the_store(place: Any, session: Any) -> None:
    def work(store: Any) -> None:
        for _ in range(10_000):
            store.save_blob(BlobType.DATA, os.urandom(1000))

    with pytest.raises(ConnectionLost):
        session(work, FaultyBackend(place.server, Fault(3, stays_down=True, verbs=frozenset({"put"}))), pack_size=5000)
    assert len(place.names("data")) == 2
