"""Cut points: within bounds, the same for buffers and streams, stable under insertions and from release to release."""

from __future__ import annotations

import io
import random

import pytest

from backup_core.format.chunker import MAX, MIN, Chunker, seed_from
from backup_core.format.ids import sha256

POLYNOMIAL = 0x25B468838DCB75
EXPECTED_SEED = 8764352045891612113
EXPECTED_LENGTHS = [1087426, 982440, 1074698, 1193590, 1143122, 1334508]


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(11).randbytes(24 << 20)


@pytest.fixture(scope="module")
def chunker() -> Chunker:
    return Chunker(seed_from(POLYNOMIAL))


def test_chunks_cover_everything_within_bounds(chunker: Chunker, data: bytes) -> None:
    cuts = list(chunker.cuts(memoryview(data)))
    end = 0
    for offset, length in cuts:
        assert offset == end
        assert length <= MAX
        end = offset + length
    assert end == len(data)
    assert all(length >= MIN for _, length in cuts[:-1])
    assert 1.0 < len(data) / len(cuts) / (1 << 20) < 1.6


def test_a_stream_is_cut_like_a_buffer(chunker: Chunker, data: bytes) -> None:
    assert list(chunker.lengths(io.BytesIO(data))) == [length for _, length in chunker.cuts(data)]


def test_cut_points_never_change(chunker: Chunker, data: bytes) -> None:
    """They are fixed for the life of a repository: other ones would store every long file once more."""
    assert [length for _, length in chunker.cuts(data)][:6] == EXPECTED_LENGTHS
    assert seed_from(POLYNOMIAL) == EXPECTED_SEED


def test_an_insertion_moves_few_cut_points(chunker: Chunker, data: bytes) -> None:
    def chunks(content: bytes) -> set[bytes]:
        return {sha256(content[offset : offset + length]) for offset, length in chunker.cuts(content)}

    before, after = chunks(data), chunks(data[:5_000_000] + b"a few more bytes" + data[5_000_000:])
    assert len(after - before) <= 2


@pytest.mark.parametrize("length", [1, 1000, MIN])
def test_short_files_are_one_chunk(chunker: Chunker, length: int) -> None:
    assert list(chunker.cuts(bytes(length))) == [(0, length)]


def test_nothing_is_no_chunk(chunker: Chunker) -> None:
    assert list(chunker.cuts(b"")) == list(chunker.lengths(io.BytesIO())) == []


def test_zeros_are_cut_at_the_maximum(chunker: Chunker) -> None:
    assert [length for _, length in chunker.cuts(bytes(3 * MAX))] == [MAX] * 3


def test_repositories_cut_differently(data: bytes, chunker: Chunker) -> None:
    other = Chunker(seed_from(POLYNOMIAL ^ 0b110))
    assert {offset for offset, _ in other.cuts(data)} & {offset for offset, _ in chunker.cuts(data)} == {0}


@pytest.mark.parametrize("polynomial", [1 << 53, (1 << 54) - 1, POLYNOMIAL])
def test_any_seed_is_taken(polynomial: int) -> None:
    assert 0 < seed_from(polynomial) < 1 << 63
    Chunker(seed_from(polynomial))
