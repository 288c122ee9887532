from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.errors import Cancelled, ConnectionLost, LockLost, QuotaExceeded, RepositoryError, StorageError
from backup_core.format.ids import blob_id
from backup_core.format.layout import pack_name
from backup_core.format.pack import FinishedPack, PackBuilder
from backup_core.progress import CancelToken, Progress, ProgressTracker
from backup_core.repository import uploader as uploader_module
from backup_core.repository.index import IndexView
from backup_core.repository.index_writing import split_for_index
from backup_core.repository.repository import Repository
from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import Fault, FaultyBackend, PowerCut, every_fault
from backup_core.testing.recording import RecordingBackend
from backup_core.types import BlobType, Buffer, PackedBlob, PackId

PUTS = frozenset({"put"})


def make_pack(repository: Repository, *contents: bytes) -> tuple[FinishedPack, bytearray]:
    buffer = bytearray(sum(map(len, contents)) + 1000)
    builder = PackBuilder(buffer, repository.sealer())
    for content in contents:
        builder.add(blob_id(content), BlobType.DATA, content, 0)
    return builder.finish(), buffer


def nothing() -> None:
    """Buffers of these tests are not used again."""


def test_packs_then_index_then_snapshot(place: Any, store: Callable[..., Any]) -> None:
    recording = RecordingBackend(place.server)
    store(place.open(recording, pack_size=20_000), [os.urandom(5000) for _ in range(30)])
    kinds = [name.partition("/")[0] for name in recording.names("put")]
    assert kinds[0] == "locks"
    assert kinds[1:] == ["data"] * (len(kinds) - 3) + ["index", "snapshots"]
    assert len(kinds) > 8


def test_buffers_come_back_exactly_once_each(place: Any) -> None:
    repository = place.open()
    released: list[int] = []
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            for number in range(20):
                pack, buffer = make_pack(repository, os.urandom(100))
                uploader.put_pack(pack, buffer, lambda number=number: released.append(number))
            uploader.finish()
    assert sorted(released) == list(range(20))


def test_the_first_error_stops_everything_and_nothing_unstored_is_listed(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(4, error=lambda: QuotaExceeded("full"), stays_down=True, verbs=PUTS))
    repository = place.open(faulty, upload_threads=1)
    released: list[int] = []
    with repository.lock():
        repository.load_index()
        with pytest.raises(QuotaExceeded), repository.uploader() as uploader:
            for number in range(50):
                pack, buffer = make_pack(repository, os.urandom(100))
                uploader.put_pack(pack, buffer, lambda number=number: released.append(number))
            uploader.finish()
    assert len(place.names("data")) == 3
    assert place.names("index") == []
    assert sorted(released) == list(range(len(released)))


def test_what_was_stored_before_an_error_is_listed_when_the_server_still_takes_it(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(3, error=lambda: ConnectionLost("once"), verbs=PUTS))
    repository = place.open(faulty, upload_threads=1)
    packs = []
    with repository.lock():
        repository.load_index()
        with pytest.raises(ConnectionLost), repository.uploader() as uploader:
            for _ in range(50):
                pack, buffer = make_pack(repository, os.urandom(100))
                packs.append(pack)
                uploader.put_pack(pack, buffer, nothing)
            uploader.finish()
    fresh = place.open(cache=place.cache.with_name("other"))
    assert set(fresh.load_index().packs()) == {pack.id for pack in packs[:2]}
    assert fresh.check_packs() == []


def test_cancelling_lists_what_is_stored(place: Any) -> None:
    repository = place.open()
    cancel = CancelToken()
    stored = threading.Event()
    with repository.lock():
        repository.load_index()
        with pytest.raises(Cancelled), repository.uploader(cancel) as uploader:
            pack, buffer = make_pack(repository, b"content")
            uploader.put_pack(pack, buffer, stored.set)
            assert stored.wait(60)
            cancel.cancel()
            uploader.put_pack(*make_pack(repository, b"other"), nothing)
    assert list(place.open(cache=place.cache.with_name("other")).load_index().packs()) == [pack.id]


class ClosedLine(RecordingBackend):
    """Takes packs only once its line is open."""

    line = threading.Event()

    def put(self, name: str, data: Buffer) -> None:
        if name.startswith("data/"):
            assert self.line.wait(60)
        super().put(name, data)


def test_the_last_packs_are_counted_while_they_are_sent(place: Any) -> None:
    told: list[Progress] = []
    backend = ClosedLine(place.server)

    def see(progress: Progress) -> None:
        told.append(progress)
        if progress.phase == "upload":
            backend.line.set()

    repository = place.open(backend, upload_threads=1)
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            packs = [make_pack(repository, os.urandom(1000)) for _ in range(2)]
            for pack, buffer in packs:
                uploader.put_pack(pack, buffer, nothing)
            uploader.finish(ProgressTracker(see, clock=SystemClock(), interval=0))
    total = sum(pack.size for pack, _ in packs)
    assert [(one.phase, one.bytes_done, one.bytes_total) for one in told] == [
        ("upload", 0, total), ("upload", packs[0][0].size, total), ("upload", total, total), ("finish", 0, 0),
    ]  # fmt: skip


def test_packs_of_a_killed_run_are_used_by_the_next_without_reading_them(place: Any, store: Callable[..., Any]) -> None:
    contents = [os.urandom(5000) for _ in range(10)]
    # The first put is the lock; the fourth pack finds the power gone.
    faulty = FaultyBackend(place.server, Fault(4, error=PowerCut, stays_down=True, verbs=frozenset({"put", "delete"})))
    killed = place.open(faulty, pack_size=10_000, upload_threads=1)
    with pytest.raises(PowerCut):
        store(killed, contents)
    killed._journal._drop_file(keep=True)  # what the end of a process does to its files
    assert (len(place.names("data")), place.names("index")) == (3, [])
    before = place.server.requests.bytes_down
    recording = RecordingBackend(place.server)
    again = place.open(recording, pack_size=10_000)
    stored = store(again, contents)
    assert place.server.requests.bytes_down == before
    assert "get" not in {o.verb for o in recording.operations}
    assert [again.read_blob(blob) for blob in stored.blobs] == contents
    assert len(again.index) == 11  # nothing was stored twice
    assert again.unreferenced_packs() == {}
    again.close()
    assert list((place.cache / again.id / "runs").iterdir()) == []


def test_workers_see_the_packs_of_a_killed_run(place: Any) -> None:
    killed = place.open()
    pack, _ = make_pack(killed, b"content")
    place.server.put(pack_name(pack.id), bytes(pack.size))
    killed._journal.add_pack(pack.id, pack.blobs)
    killed._journal._drop_file(keep=True)
    repository = place.open()
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            assert blob_id(b"content") in IndexView.open(repository.index.path)
            assert (uploader.totals.reused_packs, uploader.totals.index_files) == (1, 1)
            assert uploader.finish().index_files == 1


def test_packs_of_a_killed_run_that_were_removed_are_stored_again(place: Any, store: Callable[..., Any]) -> None:
    contents = [os.urandom(5000) for _ in range(10)]
    faulty = FaultyBackend(place.server, Fault(4, error=PowerCut, stays_down=True, verbs=frozenset({"put", "delete"})))
    killed = place.open(faulty, pack_size=10_000, upload_threads=1)
    with pytest.raises(PowerCut):
        store(killed, contents)
    killed._journal._drop_file(keep=True)
    for name in place.names("data")[:2]:  # as a prune by somebody else would
        place.server.delete(name)
    again = place.open(pack_size=10_000)
    stored = store(again, contents)
    assert again.check_packs() == []
    assert [again.read_blob(blob) for blob in stored.blobs] == contents


def test_dying_at_any_moment_loses_nothing(place: Any, store: Callable[..., Any]) -> None:
    contents = [os.urandom(4000) for _ in range(6)]
    earlier = store(place.open(), [b"an earlier backup"])
    clean = FaultyBackend(_copy(place.server))
    store(place.open(clean, pack_size=9000, upload_threads=1, cache=place.cache.with_name("clean")), contents)
    for number, fault in enumerate(every_fault(clean.count())):
        server = _copy(place.server)
        cache = place.cache.with_name(f"cache{number}")
        killed = place.open(FaultyBackend(server, fault), pack_size=9000, upload_threads=1, cache=cache)
        with pytest.raises(PowerCut):
            store(killed, contents)
        killed._journal._drop_file(keep=True)
        after = place.open(server, pack_size=9000, cache=cache)
        stored = store(after, contents)
        assert [after.read_blob(blob) for blob in (*earlier.blobs, *stored.blobs)] == [*earlier.contents, *contents]
        # Somebody without our cache sees a sound repository, too.
        other = place.open(server, cache=cache.with_name(f"other{number}"))
        with other.lock(exclusive=True):
            assert {earlier.snapshot, stored.snapshot} <= {s.id for s in other.snapshots()}
            other.load_index()
            assert other.check_packs() == []


def _copy(server: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    copy.objects = dict(server.objects)
    return copy


def test_index_files_are_written_on_the_way(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader_module, "INDEX_BLOBS", 10)
    repository = place.open(upload_threads=1)
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            for _ in range(7):
                uploader.put_pack(*make_pack(repository, *(os.urandom(50) for _ in range(4))), nothing)
            assert uploader.finish().index_files == 3
    assert len(place.names("index")) == 3
    # The next run needs none of them from the server.
    fresh = place.open()
    place.server.requests.by_method.clear()
    assert len(fresh.load_index()) == 28
    assert place.server.requests.by_method == {"LIST": 1}


def test_an_index_file_is_written_after_ten_minutes(place: Any) -> None:
    repository = place.open(upload_threads=1)
    stored = threading.Event()
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            uploader.put_pack(*make_pack(repository, b"first"), stored.set)
            assert stored.wait(60)
            assert place.names("index") == []
            place.clock.advance(601)
            stored.clear()
            uploader.put_pack(*make_pack(repository, b"second"), stored.set)
            assert stored.wait(60)
            assert len(place.names("index")) == 1
            assert uploader.finish().index_files == 1


def test_all_blobs_of_a_pack_stay_in_one_index_file() -> None:
    def pack(number: int, count: int) -> tuple[PackId, list[PackedBlob]]:
        blob = PackedBlob(blob_id(b""), BlobType.DATA, 0, 40, 0)
        return PackId(bytes([number]) * 32), [blob] * count

    packs = [pack(1, 30_000), pack(2, 30_000), pack(3, 120_000), pack(4, 1)]
    parts = list(split_for_index(packs))
    assert [[p for p, _ in part] for part in parts] == [[packs[0][0], packs[1][0]], [packs[2][0]], [packs[3][0]]]
    assert list(split_for_index([])) == []


def test_where_the_server_may_keep_half_of_an_object_sizes_are_confirmed(place: Any) -> None:
    place.server._promises = Promises(atomic_put=False)
    repository = place.open()
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            pack, buffer = make_pack(repository, b"content")
            uploader.put_pack(pack, buffer, nothing)
            other, other_buffer = make_pack(repository, b"more")
            stored = threading.Event()
            uploader.put_pack(other, other_buffer, stored.set)
            assert stored.wait(60)
            place.server.objects[f"data/{other.id.hex()[:2]}/{other.id.hex()}"] = b"half"
            with pytest.raises(RepositoryError, match="has 4 bytes on the server instead of"):
                uploader.finish()
            assert blob_id(b"more") not in repository.index
    fresh = place.open(cache=place.cache.with_name("other"))
    assert list(fresh.load_index().packs()) == [pack.id]


def test_sizes_are_not_asked_for_where_puts_are_atomic(place: Any, store: Callable[..., Any]) -> None:
    recording = RecordingBackend(place.server)
    store(place.open(recording), [b"content"])
    assert not [name for name in recording.names("list") if name.startswith("data")]


def test_nothing_is_listed_after_the_lock_is_lost(place: Any) -> None:
    repository = place.open()
    with repository.lock() as held:
        repository.load_index()
        with pytest.raises(LockLost), repository.uploader() as uploader:
            uploader.put_pack(*make_pack(repository, b"content"), nothing)
            place.server.delete(f"locks/{held.id}")
            place.clock.advance(23 * 60)
            uploader.finish()
    assert place.names("index") == []


def test_writing_needs_a_lock(repository: Repository, store: Callable[..., Any]) -> None:
    repository.load_index()
    with pytest.raises(RepositoryError, match="use lock"):
        repository.uploader()
    stored = store(repository, [b"content"])
    with pytest.raises(RepositoryError, match="use lock"):
        repository.save_snapshot(repository.load_snapshot(stored.snapshot))
    with repository.lock(), pytest.raises(RepositoryError, match="exclusive"):
        repository.remove_snapshot(stored.snapshot)
    with repository.lock(exclusive=True):
        repository.remove_snapshot(stored.snapshot)
    assert repository.snapshots() == []


def test_many_threads_hand_over_packs(place: Any) -> None:
    repository = place.open(upload_threads=3)
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            errors: list[StorageError] = []

            def work() -> None:
                for _ in range(20):
                    uploader.put_pack(*make_pack(repository, os.urandom(64)), nothing)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            totals = uploader.finish()
    assert (errors, totals.packs, totals.blobs) == ([], 80, 80)
    assert len(place.names("data")) == 80
    assert repository.check_packs() == []


def test_a_finished_uploader_takes_no_more(repository: Repository) -> None:
    with repository.lock():
        repository.load_index()
        with repository.uploader() as uploader:
            uploader.finish()
            with pytest.raises(RepositoryError, match="finished"):
                uploader.put_pack(*make_pack(repository, b"late"), nothing)


def test_bytes_written_are_those_on_the_server(place: Any, store: Callable[..., Any]) -> None:
    repository = place.open()
    store(repository, [os.urandom(1000) for _ in range(20)])
    on_server = sum(len(content) for name, content in place.server.objects.items() if name != "config")
    assert repository.bytes_written == on_server
