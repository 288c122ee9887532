"""What becomes of each pack, decided from figures alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.errors import BlobMissing, ConfigError
from backup_core.repository.prune_plan import PruneBounds, PrunePlan, Usage, make_plan, measure, rounds_of
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackId

DATA, TREE = BlobType.DATA, BlobType.TREE


def pack(number: int) -> PackId:
    return PackId(bytes([number]) * 32)


def blob(number: int) -> BlobId:
    return BlobId(number.to_bytes(32, "big"))


def used(packs: dict[int, list[int]], needed: set[int], *, whole: set[int] | None = None) -> Usage:
    """Packs of blobs of 100 bytes, some of which are needed."""
    entries = sorted(
        (blob(number), BlobLocation(pack(p), DATA, 100 * at, 100, 0))
        for p, numbers in packs.items()
        for at, number in enumerate(numbers)
    )
    sizes = {pack(p): 1000 if whole is None or p in whole else None for p in packs}
    return measure(entries, {DATA: {blob(n) for n in needed}, TREE: set()}, sizes)


def planned(usage: Usage, bounds: PruneBounds, **facts: object) -> PrunePlan:
    settings = {"pack_size": 1000, "orphans": {}, "lost": [], "snapshots": set(), "indexes": {}} | facts
    return make_plan(usage, bounds, **settings)  # type: ignore[arg-type]


THOROUGH = PruneBounds(max_unused_share=0)


def test_packs_are_kept_copied_or_removed_by_what_is_needed_of_them() -> None:
    usage = used({1: [1, 2], 2: [3, 4], 3: [5, 6]}, {1, 2, 3})
    plan = planned(
        usage, THOROUGH, orphans={pack(9): 50}, indexes={IndexId("a"): [pack(1)], IndexId("b"): [pack(2), pack(3)]}
    )
    assert [use.pack for use in plan.keep] == [pack(1)]
    assert [use.pack for use in plan.repack] == [pack(2)]
    assert [use.pack for use in plan.delete] == [pack(3)]
    assert (plan.bytes_copied, plan.bytes_freed, plan.bytes_unused_after) == (100, 1000 + 50 + 100, 0)
    assert plan.requests == {"copy": 2, "index": 2, "delete": 3}


def test_a_blob_in_two_packs_is_had_from_the_one_that_is_needed_most() -> None:
    usage = used({1: [1, 2], 2: [1, 8], 3: [2, 9]}, {1, 2})
    plan = planned(usage, THOROUGH)
    assert [use.pack for use in plan.keep] == [pack(1)]
    assert [use.pack for use in plan.delete] == [pack(2), pack(3)]
    assert not plan.repack


def test_a_blob_of_both_types_is_two_blobs() -> None:
    entries = [(blob(1), BlobLocation(pack(1), DATA, 0, 100, 0)), (blob(1), BlobLocation(pack(2), TREE, 0, 100, 0))]
    needed = {DATA: {blob(1)}, TREE: {blob(1)}}
    usage = measure(entries, needed, {pack(1): 1000, pack(2): 1000})
    assert [use.needed_blobs for use in usage.packs] == [1, 1]
    with pytest.raises(BlobMissing, match="1 blobs"):
        measure(entries[:1], needed, {pack(1): 1000})


def test_what_is_only_in_a_pack_that_is_not_whole_is_missing() -> None:
    with pytest.raises(BlobMissing, match="nothing is removed"):
        used({1: [1], 2: [2]}, {1, 2}, whole={1})
    usage = used({1: [1], 2: [1, 2]}, {1}, whole={1})
    assert [use.needed_blobs for use in usage.packs] == [1, 0]


def test_what_is_needed_little_of_is_copied_first() -> None:
    usage = used({1: [1, 2, 3, 90], 2: [4, 91, 92, 93]}, {1, 2, 3, 4})
    assert [use.pack for use in planned(usage, THOROUGH).repack] == [pack(2), pack(1)]
    assert [use.pack for use in planned(usage, PruneBounds(max_unused_share=0.2)).repack] == [pack(2)]
    assert [use.pack for use in planned(usage, PruneBounds(None, max_unused_bytes=399)).repack] == [pack(2)]
    assert planned(usage, PruneBounds(None)).repack == ()
    assert planned(usage, PruneBounds(1.0)).repack == ()
    assert [use.pack for use in planned(usage, PruneBounds(0, max_repack_bytes=100)).repack] == [pack(2)]
    assert planned(usage, PruneBounds(0, max_repack_bytes=99)).repack == ()


@given(
    st.dictionaries(st.integers(1, 9), st.lists(st.integers(1, 30), min_size=1, max_size=8), min_size=1),
    st.sets(st.integers(1, 30)),
    st.floats(0, 1),
    st.one_of(st.none(), st.integers(0, 2000)),
)
def test_every_needed_blob_has_exactly_one_pack_that_keeps_it(
    packs: dict[int, list[int]], wanted: set[int], share: float, limit: int | None
) -> None:
    needed = wanted & {number for numbers in packs.values() for number in numbers}
    usage = used(packs, needed)
    plan = planned(usage, PruneBounds(share, max_repack_bytes=limit))
    assert len(plan.keep) + len(plan.repack) + len(plan.delete) == len(packs)
    assert sum(use.needed_blobs for use in (*plan.keep, *plan.repack)) == len(needed)
    assert limit is None or plan.bytes_copied <= limit
    stay = sum(use.box_bytes for use in plan.keep) + plan.bytes_copied
    assert limit is not None or plan.bytes_unused_after <= share * stay + 0.001


@given(st.lists(st.sets(st.integers(1, 9), min_size=1), min_size=1, max_size=9), st.integers(1, 500))
def test_rounds_hold_every_pack_once(packs: list[set[int]], limit: int) -> None:
    uses = used(
        {at: sorted(numbers) for at, numbers in enumerate(packs)}, set(range(1, 10)) & set().union(*packs)
    ).packs
    rounds = list(rounds_of(uses, limit))
    assert [use for part in rounds for use in part] == list(uses)
    assert all(len(part) == 1 or sum(use.needed_bytes for use in part) <= limit for part in rounds)


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 100 %") as raised:
        PruneBounds(1.5, max_unused_bytes=-1, max_repack_bytes=-1)
    assert len(raised.value.problems) == 3
