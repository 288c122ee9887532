"""Parity: any cells that are enough give all of a row; the code is the documented one; headers survive damage."""

from __future__ import annotations

import random

import pytest

from backup_core.errors import ConfigError, Corrupt
from backup_core.format.parity import (
    MAGIC,
    SHARDS,
    ParityLayout,
    decode_header,
    encode_header,
    header_length,
    layout_for,
    parity_of,
    rebuilt_row,
    sum_of,
    trailer_length,
)
from backup_core.types import PackId

PACKS = [(PackId(bytes([n]) * 32), 1000 * n + 7) for n in range(1, 9)]


def rows_of(layout: ParityLayout) -> list[list[bytes]]:
    stream = random.Random(7).randbytes(layout.total).ljust(layout.data * layout.shard, b"\0")
    return [[stream[at : at + layout.cell] for at in layout.places(row)] for row in range(layout.rows)]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 1.0])
def test_as_many_cells_as_there_is_parity_may_be_lost(share: float) -> None:
    layout = layout_for(PACKS, share)
    assert layout.data + layout.parity == SHARDS and layout.parity / layout.data >= share
    chance = random.Random(share)
    for cells in rows_of(layout):
        everything = [*cells, *parity_of(layout, cells)]
        lost = set(chance.sample(range(SHARDS), layout.parity))
        left = [None if n in lost else cell for n, cell in enumerate(everything)]
        assert rebuilt_row(layout, left) == b"".join(cells)
        one_more = next(n for n in range(SHARDS) if n not in lost)
        with pytest.raises(Corrupt, match="too few"):
            rebuilt_row(layout, [None if n == one_more else cell for n, cell in enumerate(left)])


def product(a: int, b: int) -> int:
    """In the field of 256 elements with the polynomial 0x11d, by the schoolbook."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a, b = a << 1, b >> 1
        if a & 0x100:
            a ^= 0x11D
    return result


def test_the_code_is_the_one_that_the_module_describes() -> None:
    layout = layout_for([(PackId(bytes(32)), 30 * 64)], 0.05)
    cells = [random.Random(n).randbytes(layout.cell) for n in range(layout.data)]
    inverse = {a: b for a in range(1, 256) for b in range(1, 256) if product(a, b) == 1}
    for p, parity in enumerate(parity_of(layout, cells)):
        expected = bytearray(layout.cell)
        for d, cell in enumerate(cells):
            factor = inverse[(layout.data + p) ^ d]
            expected = bytearray(e ^ product(factor, byte) for e, byte in zip(expected, cell, strict=True))
        assert bytes(expected) == parity


def header_of(layout: ParityLayout) -> tuple[bytes, bytes, bytes]:
    sums = b"".join(sum_of(c) for cells in rows_of(layout) for c in [*cells, *parity_of(layout, cells)])
    return (*encode_header(layout, sums), sums)


def test_either_end_tells_all() -> None:
    layout = layout_for(PACKS, 0.1)
    before, behind, sums = header_of(layout)
    assert header_length(before) == len(before) == trailer_length(behind) == len(behind)
    for part in (before, behind):
        header = decode_header(part)
        assert (header.layout, header.sums, header.size) == (layout, sums, len(before))
        assert header.sum_of(0, 1) == sums[8:16]


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_header_is_refused(seed: int) -> None:
    before, behind, _ = header_of(layout_for(PACKS, 0.1))
    chance = random.Random(seed)
    part = bytearray(chance.choice((before, behind)))
    part[chance.randrange(len(MAGIC) + 4, len(part) - len(MAGIC) - 4)] ^= 1 << chance.randrange(8)
    with pytest.raises(Corrupt):
        decode_header(bytes(part))


@pytest.mark.parametrize("part", [b"", MAGIC, MAGIC + b"\xff\xff\xff\xff" + bytes(100), bytes(300)])
def test_nonsense_is_refused(part: bytes) -> None:
    with pytest.raises(Corrupt):
        header_length(part)
    with pytest.raises(Corrupt):
        trailer_length(part[::-1])


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ConfigError):
        layout_for(PACKS, share)
