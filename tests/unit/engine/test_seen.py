"""The table of claimed blobs."""

from __future__ import annotations

import hashlib
import os

import pytest

from backup_core.engine.seen import SeenTable
from backup_core.types import BlobId


def blob(number: int) -> BlobId:
    return BlobId(hashlib.sha256(str(number).encode()).digest())


def test_only_the_first_claim_is_granted() -> None:
    table = SeenTable()
    assert table.claim(blob(1))
    assert not table.claim(blob(1))
    assert table.claim(blob(2))
    table.close()


def test_all_ids_are_remembered_when_segments_overflow() -> None:
    table = SeenTable(first_buckets=4, segments=6)
    ids = [blob(n) for n in range(1000)]
    assert all(table.claim(b) for b in ids)
    assert not any(table.claim(b) for b in ids)
    table.close()


def test_a_full_table_lets_everything_be_stored_again() -> None:
    table = SeenTable(first_buckets=1, segments=1)
    ids = [blob(n) for n in range(9)]
    assert all(table.claim(b) for b in ids)
    assert [table.claim(b) for b in ids] == [False] * 8 + [True]
    table.close()


def test_ids_with_zero_bytes_at_their_ends_keep_their_slots() -> None:
    table = SeenTable(first_buckets=1, segments=1)
    ids = [BlobId(bytes([n]) + bytes(30) + b"\1") for n in range(1, 4)]
    ids += [BlobId(b"\1" + bytes([n]) + bytes(30)) for n in range(1, 6)]
    assert all(table.claim(b) for b in ids)
    assert not any(table.claim(b) for b in ids)
    table.close()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory is passed by descriptor on Linux only")
def test_a_second_mapping_of_the_same_memory_sees_the_claims() -> None:
    first = SeenTable(first_buckets=16, segments=2)
    second = SeenTable(first_buckets=16, segments=2, descriptor=os.dup(first.descriptor))
    assert first.claim(blob(1))
    assert not second.claim(blob(1))
    first.close()
    second.close()


def test_the_size_must_be_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        SeenTable(first_buckets=12)
