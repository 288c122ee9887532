"""Parts of the data that validations take in turns."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.engine.subset import Subset
from backup_core.errors import ConfigError
from backup_core.types import PackId

CHANCE = random.Random(3)
SIZES = {PackId(hashlib.sha256(bytes([n])).digest()): CHANCE.randrange(1, 20_000) for n in range(200)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1/7", Subset(part=1, parts=7)),
        (" 7/7 ", Subset(part=7, parts=7)),
        ("5%", Subset(share=0.05)),
        ("2.5%", Subset(share=0.025)),
        ("500M", Subset(bytes_=500 << 20)),
        ("1.5GiB", Subset(bytes_=3 << 29)),
        ("4096", Subset(bytes_=4096)),
        ("10kb", Subset(bytes_=10240)),
    ],
)
def test_texts_are_read(text: str, expected: Subset) -> None:
    assert Subset.parse(text) == expected


@pytest.mark.parametrize("text", ["", "0/7", "8/7", "1/257", "0%", "101%", "-5%", "0", "five", "5 %M", "1/0"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Subset.parse(text)


def test_parts_make_up_the_whole_and_do_not_overlap() -> None:
    parts = [Subset.parse(f"{n}/7").choose(SIZES, turn=0) for n in range(1, 8)]
    assert sorted(pack for part in parts for pack in part) == sorted(SIZES)


@given(st.floats(0.5, 100), st.integers(0, 10_000))
def test_so_many_turns_of_a_share_read_everything(percent: float, first: int) -> None:
    subset = Subset.parse(f"{percent:.3f}%")
    turns = int(1 / subset.share) + 2
    read = {pack for turn in range(first, first + turns) for pack in subset.choose(SIZES, turn=turn)}
    assert read == set(SIZES)


@given(st.integers(1, 3_000_000), st.integers(0, 100))
def test_a_size_is_kept_to_within_one_pack(size: int, turn: int) -> None:
    chosen = sum(SIZES[pack] for pack in Subset(bytes_=size).choose(SIZES, turn=turn))
    total = sum(SIZES.values())
    assert chosen == total if size >= total else abs(chosen - size) <= 20_000


def test_no_packs_are_no_trouble() -> None:
    assert Subset.parse("5%").choose({}, turn=3) == []
