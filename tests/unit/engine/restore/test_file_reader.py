"""Reading parts of files: right whatever is asked, in few requests, with little memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup_core.engine.copies import Copies
from backup_core.engine.file_reader import BlobMemory, FileReader
from backup_core.engine.single_file import find_entry
from backup_core.errors import BlobMissing, ConfigError, Corrupt
from backup_core.format.layout import pack_name
from backup_core.types import BlobId

CONTENT = random.Random(2).randbytes(300_000) + bytes(100_000) + b"end"


@pytest.fixture
def opened(bench, tmp_path: Path):
    """Opens the file anew, with a memory of so many bytes."""
    source = tmp_path / "docs"
    source.mkdir()
    (source / "big").write_bytes(CONTENT)
    (source / "small").write_bytes(b"small")
    snapshot = bench.back_up(source, chunk=4096)
    bench.repository.load_index()
    copies = Copies(bench.repository, cancel=bench.cancel)

    def make(name: str = "big", limit: int = 1 << 20) -> FileReader:
        return FileReader(copies, find_entry(copies, snapshot, name), BlobMemory(limit))

    make.copies, make.snapshot = copies, snapshot
    return make


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 50_000)), max_size=12),
    limit=st.sampled_from([0, 5000, 100_000, 1 << 20]),
)
def test_any_read_gives_what_a_file_would(opened, reads: list[tuple[int, int]], limit: int) -> None:
    reader = opened(limit=limit)
    for offset, length in reads:
        assert reader.read(offset, length) == CONTENT[offset : offset + length]


def test_the_whole_comes_in_few_requests(bench, opened) -> None:
    reader = opened()
    assert reader.size == len(CONTENT)
    bench.backend.clear()
    assert b"".join(reader.chunks()) == CONTENT
    assert len(bench.fetched()) <= 2 * len(set(bench.fetched()))


def test_a_jump_fetches_little_and_a_second_look_nothing(bench, opened) -> None:
    reader = opened()
    bench.backend.clear()
    reader.read(200_000, 10)
    assert sum(op.size for op in bench.backend.operations if op.name.startswith("data/")) < 3 * 4096
    before = len(bench.fetched())
    reader.read(200_000, 10)
    assert len(bench.fetched()) == before


def test_a_small_memory_forgets_the_oldest() -> None:
    memory = BlobMemory(100)
    one, two, three = (BlobId(bytes([n]) * 32) for n in range(3))
    memory.put(one, b"x" * 40)
    memory.put(two, b"y" * 40)
    assert memory.get(one) == b"x" * 40
    memory.put(three, b"z" * 40)
    assert (memory.get(one), memory.get(two), memory.get(three)) == (b"x" * 40, None, b"z" * 40)
    memory.put(two, b"y" * 101)
    assert memory.get(two) is None


def test_damage_is_met_where_it_is(bench, opened) -> None:
    reader = opened()
    first = find_entry(opened.copies, opened.snapshot, "big").content[0]
    place = bench.repository.index.find(first)
    pack = pack_name(place.pack)
    damaged = bytearray(bench.store.objects[pack])
    damaged[place.offset + 20] ^= 1
    bench.store.objects[pack] = bytes(damaged)
    given_out = b""
    with pytest.raises(Corrupt):
        for chunk in reader.chunks():
            given_out += chunk
    assert CONTENT.startswith(given_out)


def test_a_part_in_no_index_is_known_at_once(opened) -> None:
    from dataclasses import replace

    node = find_entry(opened.copies, opened.snapshot, "small")
    with pytest.raises(BlobMissing):
        FileReader(opened.copies, replace(node, content=(BlobId(bytes(32)),)), BlobMemory())


def test_one_entry_is_found_without_walking(bench, opened, tmp_path: Path) -> None:
    find = lambda path: find_entry(opened.copies, opened.snapshot, path)  # noqa: E731
    assert find(str(tmp_path / "docs" / "small")).name == find("docs/small").name == find("small").name == b"small"
    assert find("docs").type == "dir"
    for wrong in ("none", "small/x", "/small", str(tmp_path), "docs/../docs/small"):
        with pytest.raises(ConfigError):
            find(wrong)


def test_a_name_that_means_several_is_refused(bench, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(name)
    snapshot = bench.back_up(tmp_path / "a", tmp_path / "b")
    bench.repository.load_index()
    copies = Copies(bench.repository, cancel=bench.cancel)
    with pytest.raises(ConfigError, match="several"):
        find_entry(copies, snapshot, "same")
    assert find_entry(copies, snapshot, "b/same").name == b"same"
