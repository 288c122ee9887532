"""Files through workers into packs, without a repository."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_core.engine import source_content
from backup_core.engine.messages import FileOutcome, Settings
from backup_core.engine.pipeline import Pipeline
from backup_core.engine.worker_pool import StartChoice, WorkerPool, default_worker_count
from backup_core.errors import BackupExecutionError, Cancelled
from backup_core.format.chunker import Chunker
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.compression import Decompressor
from backup_core.format.pack import FinishedPack, read_header
from backup_core.progress import CancelToken
from backup_core.repository.index import IndexHandle
from backup_core.storage.file_slices import FileSlices

KEY = MasterKey.generate(random.Random(1).randbytes)
SEED = 99
MIB = 1 << 20


class Warehouse:
    """A sink that opens every pack it is given."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.stored = 0
        self.packs = 0

    def put_pack(self, pack: FinishedPack, content: FileSlices, release: Callable[[], None]) -> None:
        data = b"".join(content)
        assert len(data) == pack.size
        assert hashlib.sha256(data).digest() == pack.id
        sealer, decompressor = Sealer(KEY), Decompressor()
        assert tuple(read_header(data, pack.size, sealer)) == pack.blobs
        for blob in pack.blobs:
            plain = sealer.open(data[blob.offset : blob.offset + blob.length])
            if blob.uncompressed_length:
                plain = decompressor.decompress(plain, blob.uncompressed_length)
            assert hashlib.sha256(plain).digest() == blob.id
            self.blobs[blob.id] = plain
            self.stored += 1
        self.packs += 1
        # Released by another thread, as uploads end.
        threading.Thread(target=release).start()


class Bench:
    def __init__(self, pool: WorkerPool, cancel: CancelToken, level: int | None, pack_size: int) -> None:
        self.pool = pool
        self.warehouse = Warehouse()
        self.bytes = 0
        self.outcomes: dict[str, FileOutcome] = {}
        settings = Settings(IndexHandle(), KEY.to_json(), SEED, level, pack_size)
        self.pipeline = Pipeline(pool, lambda: settings, self.warehouse, cancel=cancel, on_bytes=self._count)

    def _count(self, number: int) -> None:
        self.bytes += number

    def store(self, path: Path, status: os.stat_result | None = None) -> None:
        def done(outcome: FileOutcome) -> None:
            self.outcomes[path.name] = outcome

        self.pipeline.store(os.fsencode(path), status or os.lstat(path), done)

    def content(self, name: str) -> bytes:
        ids = self.outcomes[name].ids
        return b"".join(self.warehouse.blobs[ids[at : at + 32]] for at in range(0, len(ids), 32))


@contextmanager
def bench(
    choice: StartChoice = "thread", *, workers: int = 2, level: int | None = 3, pack_size: int = 4 * MIB
) -> Iterator[Bench]:
    cancel = CancelToken()
    pool = WorkerPool(choice, workers=workers, uploads=1, pack_size=pack_size)
    clean = False
    try:
        if choice == "fork":
            pool.fork_early()
        yield Bench(pool, cancel, level, pack_size)
        clean = True
    finally:
        pool.close(kill=not clean)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("choice", ["thread", "fork", "spawn"])
def test_every_kind_of_worker_stores_the_same(tmp_path: Path, choice: StartChoice) -> None:
    chance = random.Random(5)
    contents = {f"f{n}": chance.randbytes(chance.randrange(1, 3000)) for n in range(700)}
    contents |= {"empty": b"", "zeros": bytes(9 * MIB), "text": b"the same words " * 200_000}
    contents |= {"medium": chance.randbytes(13 * MIB), "large": chance.randbytes(40 * MIB)}
    contents["copy"] = contents["medium"]
    with bench(choice) as b:
        for name, data in contents.items():
            b.store(write(tmp_path / name, data))
        b.pipeline.drain()
        assert all(o.status == "stored" and o.found is None for o in b.outcomes.values())
        assert {name: b.content(name) for name in contents} == contents
        assert {name: o.size for name, o in b.outcomes.items()} == {name: len(data) for name, data in contents.items()}
        assert b.bytes == sum(map(len, contents.values()))
        counts = b.pipeline.counts
        assert counts.blobs == b.warehouse.stored
        # A blob claimed by two processes in the same instant is stored twice; in one process it cannot happen twice.
        assert counts.data_added >= sum(map(len, b.warehouse.blobs.values()))
        assert counts.packs == b.warehouse.packs


def test_chunks_of_a_large_file_are_those_of_one_reading(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(50 * MIB)
    with bench() as b:
        b.store(write(tmp_path / "large", data))
        b.pipeline.drain()
        expected = [hashlib.sha256(data[o : o + n]).digest() for o, n in Chunker(SEED).cuts(data)]
        ids = b.outcomes["large"].ids
        assert [ids[at : at + 32] for at in range(0, len(ids), 32)] == expected


def test_holes_give_the_same_ids_as_zeros(tmp_path: Path) -> None:
    sparse, plain = tmp_path / "sparse", tmp_path / "plain"
    chance = random.Random(4)
    islands = {0: chance.randbytes(5), 30 * MIB + 77: chance.randbytes(2 * MIB), 75 * MIB: b"end"}
    with sparse.open("wb") as one, plain.open("wb") as other:
        other.write(bytes(75 * MIB))
        for offset, data in islands.items():
            for file in (one, other):
                file.seek(offset)
                file.write(data)
    with bench() as b:
        b.store(sparse)
        b.store(plain)
        b.pipeline.drain()
        assert b.outcomes["sparse"].ids == b.outcomes["plain"].ids
        assert b.content("sparse") == plain.read_bytes()


def test_a_huge_hole_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with bench() as b:
        b.store(huge)
        b.pipeline.drain()
        assert b.outcomes["huge"].size == 1 << 40
        assert len(b.outcomes["huge"].ids) == 32 * (1 << 40) // (8 * MIB)
        assert b.warehouse.stored == 1


def test_no_compression_stores_chunks_as_they_are(tmp_path: Path) -> None:
    with bench(level=None) as b:
        b.store(write(tmp_path / "text", b"word " * 1000))
        b.pipeline.drain()
        assert b.content("text") == b"word " * 1000
        assert b.pipeline.counts.data_stored == 5000 + 32


def test_packs_are_closed_at_their_size(tmp_path: Path) -> None:
    with bench(workers=1, pack_size=MIB) as b:
        for number in range(10):
            b.store(write(tmp_path / str(number), random.Random(number).randbytes(400_000)))
        b.pipeline.drain()
        assert b.warehouse.packs == 4


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    gone, link, replaced = (write(tmp_path / name, b"content") for name in ("gone", "link", "replaced"))
    before = {path: os.lstat(path) for path in (gone, link, replaced)}
    gone.unlink()
    link.unlink()
    link.symlink_to(replaced)
    replaced.unlink()
    os.mkfifo(replaced)
    with bench() as b:
        for path, status in before.items():
            b.store(path, status)
        b.pipeline.drain()
        assert {name: o.status for name, o in b.outcomes.items()} == {
            "gone": "vanished",
            "link": "irregular",
            "replaced": "irregular",
        }
        assert all(o.reason for o in b.outcomes.values())


def test_a_large_file_that_is_gone_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "large", bytes(33 * MIB))
    status = os.lstat(path)
    path.unlink()
    with bench() as b:
        b.store(path, status)
        b.pipeline.drain()
        assert b.outcomes["large"].status == "vanished"


def test_a_file_changed_since_the_listing_brings_its_new_facts(tmp_path: Path) -> None:
    for size in (10, 34 * MIB):
        path = write(tmp_path / f"f{size}", b"x" * size)
        status = os.lstat(path)
        write(path, b"longer" + b"x" * size)
        with bench() as b:
            b.store(path, status)
            b.pipeline.drain()
            outcome = b.outcomes[path.name]
            assert outcome.status == "stored"
            assert outcome.found is not None
            assert outcome.found.st_size == outcome.size == size + 6
            assert b.content(path.name) == path.read_bytes()


def test_a_file_that_never_stands_still_is_kept_as_read_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "log", b"line\n" * 1000)
    original = source_content.ContentReader._store_stream

    def growing(
        self: source_content.ContentReader, read: Callable[[memoryview], int], expected: int
    ) -> tuple[list[bytes], int]:
        result = original(self, read, expected)
        with path.open("ab") as file:
            file.write(b"more\n")
        return result

    monkeypatch.setattr(source_content.ContentReader, "_store_stream", growing)
    with bench() as b:
        b.store(path)
        b.pipeline.drain()
        outcome = b.outcomes["log"]
        assert outcome.status == "changed"
        assert outcome.found is not None
        # The facts are those before the second reading, so that the next run sees that the file is another one.
        assert outcome.found.st_size == outcome.size == len(b.content("log")) == 5005


def test_a_large_file_that_never_stands_still_is_kept_as_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "disk", random.Random(1).randbytes(33 * MIB))
    original = source_content.ContentReader._fill_at

    def touching(self: source_content.ContentReader, descriptor: int, offset: int, limit: int) -> int:
        os.utime(path)
        with path.open("ab") as file:
            file.write(b"more\n")
        return original(self, descriptor, offset, limit)

    monkeypatch.setattr(source_content.ContentReader, "_fill_at", touching)
    with bench() as b:
        b.store(path)
        b.pipeline.drain()
        outcome = b.outcomes["disk"]
        assert outcome.status == "changed"
        assert b.content("disk") == path.read_bytes()[: outcome.size]
        assert outcome.size > 33 * MIB


def test_files_of_proc_are_read_to_their_end(tmp_path: Path) -> None:
    path = Path("/proc/self/mounts")
    if not path.exists() or os.lstat(path).st_size:
        pytest.skip("no /proc here")
    with bench() as b:
        b.store(path)
        b.pipeline.drain()
        assert b.outcomes["mounts"].status == "stored"
        assert b.content("mounts") == path.read_bytes()


@pytest.mark.parametrize("choice", ["fork", "spawn"])
def test_a_killed_worker_is_an_error_not_a_hang(tmp_path: Path, choice: StartChoice) -> None:
    path = write(tmp_path / "f", b"content")
    with pytest.raises(BackupExecutionError, match=r"killed.*memory"), bench(choice, workers=1) as b:
        b.store(path)
        b.pipeline.pump(wait=False)
        b.pipeline.drain()
        handle = b.pool.workers[0]._handle
        pid = getattr(handle, "_pid", None) or handle._process.pid
        os.kill(pid, signal.SIGKILL)
        b.store(write(tmp_path / "g", b"more"))
        b.pipeline.drain()


def test_an_error_inside_a_worker_ends_the_run_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> FileOutcome:
        raise RuntimeError("a bug")

    monkeypatch.setattr(source_content.ContentReader, "store_file", broken)
    with pytest.raises(BackupExecutionError, match="RuntimeError: a bug") as caught, bench() as b:
        b.store(write(tmp_path / "f", b"content"))
        b.pipeline.drain()
    assert "Traceback" in caught.value.__notes__[0]


def test_a_cancelled_run_stops_even_while_workers_wait_for_buffers(tmp_path: Path) -> None:
    cancel = CancelToken()
    pool = WorkerPool("thread", workers=2, uploads=1, pack_size=MIB)
    try:

        class Stuck:
            def put_pack(self, pack: FinishedPack, content: FileSlices, release: Callable[[], None]) -> None:
                cancel.cancel("enough")  # and the buffer never comes back

        settings = Settings(IndexHandle(), KEY.to_json(), SEED, 3, MIB)
        line = Pipeline(pool, lambda: settings, Stuck(), cancel=cancel, on_bytes=lambda _: None)
        path = write(tmp_path / "f", random.Random(1).randbytes(20 * MIB))
        with pytest.raises(Cancelled, match="enough"):
            line.store(os.fsencode(path), os.lstat(path), lambda _: None)
            line.drain()
    finally:
        pool.close(kill=True)


def test_little_work_starts_no_process(tmp_path: Path) -> None:
    with bench("auto") as b:
        b.store(write(tmp_path / "f", b"content"))
        assert b.pool.workers == []
        b.pipeline.drain()
        assert len(b.pool.workers) == 1
        assert type(b.pool.workers[0]._handle).__name__ == "_ThreadWorker"


def test_nothing_to_store_starts_nobody() -> None:
    with bench("auto") as b:
        b.pipeline.drain()
        assert b.pool.workers == []


def test_long_paths_make_small_batches(tmp_path: Path) -> None:
    deep = tmp_path
    while len(str(deep)) < 3000:
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    with bench() as b:
        for number in range(60):
            b.store(write(deep / str(number), b"x%d" % number))
        assert len(b.pipeline._jobs) + len(b.outcomes) > 0  # a batch was sent off before it had 256 files
        b.pipeline.drain()
        assert len(b.outcomes) == 60


def test_the_default_is_one_worker_for_each_processor() -> None:
    assert 1 <= default_worker_count() <= 8


def test_a_spawned_worker_loads_nothing_it_does_not_need() -> None:
    program = "import sys, backup_core.engine.worker_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"pandas", "prefect", "pydantic", "rich", "sqlalchemy", "sqlmodel", "typer", "webdav4"}


@pytest.mark.parametrize(("on_disk", "slots"), [(True, 2 + 4), (False, 2 + 2)])
def test_fewer_packs_are_under_way_where_they_take_memory(tmp_path: Path, on_disk: bool, slots: int) -> None:
    directory = tmp_path if on_disk else None
    pool = WorkerPool("thread", workers=2, uploads=4, pack_size=16 * MIB, directory=directory)
    try:
        assert pool._slots.in_memory is not on_disk
        assert sorted(pool._free) == list(range(slots))
    finally:
        pool.close(kill=True)
