"""Many ids in little memory."""

from __future__ import annotations

import os
import random

from hypothesis import given
from hypothesis import strategies as st

from backup_core.repository.blob_set import BlobSet
from backup_core.types import BlobId

# Ids that collide: few beginnings, zero bytes at either end.
IDS = st.builds(
    lambda start, end: BlobId(start.ljust(32 - len(end), b"\0") + end),
    st.sampled_from([b"", b"\0" * 8, b"\1", b"\xff" * 8, b"\xff" * 32])
    .map(lambda start: start[:24]),
    st.binary(max_size=2),
)  # fmt: skip


@given(st.lists(IDS, max_size=60), IDS)
def test_it_is_a_set(ids: list[BlobId], other: BlobId) -> None:
    known: set[BlobId] = set()
    made = BlobSet()
    for blob in ids:
        assert made.add(blob) is (blob not in known)
        known.add(blob)
    assert len(made) == len(known)
    assert all(blob in made for blob in known)
    assert (other in made) is (other in known)
    assert "text" not in made


def test_it_grows() -> None:
    ids = [BlobId(random.Random(n).randbytes(32)) for n in range(5000)]
    made = BlobSet(ids)
    made.update(ids)
    assert len(made) == 5000
    assert all(blob in made for blob in ids)
    assert BlobId(os.urandom(32)) not in made
