"""Functions that run for every file or blob, timed by pytest-benchmark: ``make bench-micro``."""

from __future__ import annotations

import os
import random
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.filters import Patterns
from backup_core.engine.restore_hand import WriteSettings
from backup_core.engine.seen import SeenTable
from backup_core.engine.sparse import data_runs
from backup_core.format.chunker import Chunker
from backup_core.format.cipher import OVERHEAD, MasterKey, Sealer
from backup_core.format.compression import Compressor, Decompressor
from backup_core.format.ids import blob_id
from backup_core.format.tree import Node, decode_tree, encode_node, encode_tree
from backup_core.repository.index import IndexView
from backup_core.repository.index_builder import SegmentBuilder
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobType, IndexId, PackedBlob, PackId

CHANCE = random.Random(11)
SMALL = b"def walk(tree):\n    yield from tree\n" * 200
LARGE = CHANCE.randbytes(1 << 20)
KEY = MasterKey.generate(CHANCE.randbytes)
NODES = [
    Node(b"file%04d.py" % n, "file", 0o644, 10**18 + n, 10**18, 10**18, 1000, 1000, "me", "us", 100 + n, 5, 4000, 1,
         content=(BlobId(CHANCE.randbytes(32)),))
    for n in range(100)
]  # fmt: skip


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "1 MiB"])
def test_hash(benchmark: Any, data: bytes) -> None:
    assert len(benchmark(blob_id, data)) == 32


def test_chunker(benchmark: Any) -> None:
    data = LARGE * 8
    assert benchmark(lambda: sum(length for _, length in Chunker(7).cuts(data))) == len(data)


def test_compress(benchmark: Any) -> None:
    compressor = Compressor(3)
    assert len(benchmark(compressor.compress, SMALL)) < len(SMALL)


def test_decompress(benchmark: Any) -> None:
    frame = Compressor(3).compress(SMALL)
    assert benchmark(Decompressor().decompress, frame, len(SMALL)) == SMALL


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "1 MiB"])
def test_seal(benchmark: Any, data: bytes) -> None:
    room = memoryview(bytearray(len(data) + OVERHEAD))
    assert benchmark(Sealer(KEY).seal_into, data, room) == len(room)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "1 MiB"])
def test_open(benchmark: Any, data: bytes) -> None:
    sealer = Sealer(KEY)
    box = sealer.seal(data)
    assert benchmark(sealer.open, box) == data


def test_encode_node(benchmark: Any) -> None:
    assert benchmark(encode_node, NODES[0], UTC).startswith(b"{")


def test_decode_tree_of_100(benchmark: Any) -> None:
    text = encode_tree([encode_node(node, UTC) for node in NODES])
    assert benchmark(decode_tree, text) == NODES


def test_claim(benchmark: Any) -> None:
    seen = SeenTable()
    benchmark(lambda: seen.claim(BlobId(CHANCE.randbytes(32))))
    seen.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[IndexView, BlobId]:
    """200,000 blobs in 100 packs, and one of them."""
    directory: Path = tmp_path_factory.mktemp("index")
    with SegmentBuilder(directory) as builder:
        for number in range(100):
            blobs = [PackedBlob(BlobId(CHANCE.randbytes(32)), BlobType.DATA, n * 99, 99, 400) for n in range(2000)]
            builder.add_index(IndexId(f"{number:064x}"), [(PackId(CHANCE.randbytes(32)), blobs)])
        path = builder.write(directory / "segment")
    return IndexView([Segment(path)]), blobs[0].id


def test_index_contains(benchmark: Any, index: tuple[IndexView, BlobId]) -> None:
    assert benchmark(index[0].contains, index[1], BlobType.DATA)


def test_index_find(benchmark: Any, index: tuple[IndexView, BlobId]) -> None:
    assert benchmark(index[0].find, index[1], BlobType.DATA).length == 99


def test_runs_of_data(benchmark: Any) -> None:
    assert benchmark(lambda: list(data_runs(LARGE, 0))) == [(0, len(LARGE))]


def test_patterns(benchmark: Any) -> None:
    patterns = Patterns((), ("*.tmp", "node_modules/", "**/cache/*.bin"))
    assert benchmark(patterns.judge, b"home/me/src/module/file.py", is_directory=False, inside=True).keep


def test_make_file(benchmark: Any, tmp_path: Path) -> None:
    from backup_core.engine.restore_hand import RestoreHand
    from backup_core.engine.restore_messages import NewFile, WriteBlobs
    from backup_core.engine.shared_memory import SlotMemory

    class Port:
        """A process' tie to nobody."""

        def receive(self) -> Any:
            return None

        def receive_descriptor(self) -> int:
            return os.open(tmp_path, os.O_RDONLY)

        def send(self, message: object) -> None:
            return None

    slots = SlotMemory(1, 1 << 20)
    box = Sealer(KEY).seal(SMALL)
    slots.slot(0)[: len(box)] = box
    hand = RestoreHand(WriteSettings(KEY.to_json(), delete=False), Port(), slots)
    numbers = iter(range(10**9))
    blob = blob_id(SMALL)

    def one() -> int:
        number = next(numbers)
        stamp = (0o644, os.getuid(), os.getgid(), 10**18, 10**18, ())
        file = NewFile(number, -1, b"%d" % number, stamp, blob, 0, len(box), 0)
        batch = WriteBlobs(0, PackId(bytes(32)), [], [file], [])
        return len(hand._write(batch).finished)

    assert benchmark(one) == 1
