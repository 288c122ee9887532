"""Which parts of a file must be written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backup_core.engine.sparse import BLOCK, data_runs, is_solid

_PIECES = st.lists(
    st.sampled_from([bytes(BLOCK), bytes(BLOCK // 2), b"a" * 100, b"\0" + b"b" * BLOCK, b"c"]), max_size=8
)


@given(_PIECES, st.integers(0, 3 * BLOCK))
def test_what_is_written_and_the_holes_make_up_the_data(pieces: list[bytes], offset: int) -> None:
    data = b"".join(pieces)
    made = bytearray(len(data))
    for start, end in data_runs(data, offset):
        made[start:end] = data[start:end]
    assert made == data


@given(_PIECES.filter(any), st.integers(0, 3 * BLOCK))
def test_solid_data_are_one_run(pieces: list[bytes], offset: int) -> None:
    data = b"".join(pieces)
    if is_solid(data, offset):
        assert list(data_runs(data, offset)) == [(0, len(data))]


def test_ordinary_data_are_solid_and_a_block_of_zeros_is_not() -> None:
    assert is_solid(b"text " * 5000, 0)
    assert not is_solid(b"a" * BLOCK + bytes(BLOCK), 0)
    assert is_solid(b"a" + bytes(BLOCK - 1), 0)
