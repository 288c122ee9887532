from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from backup_core.errors import ConnectionLost
from backup_core.format.layout import pack_name
from backup_core.repository.check import DAMAGED_PACK, MISSING_PACK, WRONG_SIZE
from backup_core.results import Severity
from backup_core.testing.faults import Fault, FaultyBackend
from backup_core.testing.recording import RecordingBackend
from backup_core.types import PackId


@pytest.fixture
def repository(place: Any, store: Callable[..., Any]) -> Any:
    made = place.open(pack_size=4000)
    store(made, [os.urandom(900) for _ in range(60)])
    return made


def packs(repository: Any) -> list[PackId]:
    return [pack for pack, size in repository.index.pack_sizes() if size > 4000]


def test_a_sound_repository_has_no_problems_and_costs_a_listing_for_each_directory(place: Any, repository: Any) -> None:
    recording = RecordingBackend(place.server)
    checker = place.open(recording)
    checker.load_index()
    recording.clear()
    assert checker.check_packs() == []
    directories = {pack[:1] for pack in checker.index.packs()}
    assert len(recording.operations) == len(directories)
    some = list(checker.index.packs())[:1]
    recording.clear()
    assert checker.check_packs(some) == []
    assert len(recording.operations) == 1


def test_missing_and_short_packs_are_named(place: Any, repository: Any) -> None:
    gone, short, *_ = packs(repository)
    place.server.delete(pack_name(gone))
    place.server.objects[pack_name(short)] = place.server.objects[pack_name(short)][:-1]
    found = {problem.object_id: problem for problem in repository.check_packs()}
    assert found.keys() == {gone.hex(), short.hex()}
    assert (found[gone.hex()].kind, found[short.hex()].kind) == (MISSING_PACK, WRONG_SIZE)
    assert all(problem.severity is Severity.ERROR for problem in found.values())


def test_a_listing_that_may_lack_something_is_settled_by_asking(
    place: Any, repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, *_ = packs(repository)
    place.server.delete(pack_name(gone))
    whole = place.server.list
    monkeypatch.setattr(place.server, "list", lambda d: replace(whole(d), objects=(), proved_complete=False))
    assert [problem.object_id for problem in repository.check_packs()] == [gone.hex()]


def test_not_being_able_to_look_is_no_damage(place: Any, repository: Any) -> None:
    broken = FaultyBackend(place.server, Fault(1, stays_down=True, verbs=frozenset({"list"})))
    checker = place.open(broken)
    checker.load_index()
    with pytest.raises(ConnectionLost):
        checker.check_packs()


def test_every_blob_of_a_sound_pack_is_right(repository: Any) -> None:
    for pack in repository.index.packs():
        report = repository.check_pack_data(pack)
        assert (report.problems, report.damaged) == ((), frozenset())
        assert report.blobs == len(repository.index.pack_blobs(pack))
        assert report.size == repository.index.pack_size(pack)


@pytest.mark.parametrize("region", ["blob", "header", "length"])
def test_a_flipped_bit_anywhere_is_found(place: Any, repository: Any, region: str) -> None:
    pack = packs(repository)[0]
    blobs = repository.index.pack_blobs(pack)
    name = pack_name(pack)
    content = bytearray(place.server.objects[name])
    spot = {"blob": blobs[2].offset + 20, "header": blobs[-1].offset + blobs[-1].length + 20, "length": -1}[region]
    content[spot] ^= 4
    place.server.objects[name] = bytes(content)
    report = repository.check_pack_data(pack)
    assert {problem.kind for problem in report.problems} == {DAMAGED_PACK}
    assert report.damaged == ({blobs[2].id} if region == "blob" else frozenset())


def test_a_missing_pack_takes_all_its_blobs_with_it(place: Any, repository: Any) -> None:
    pack = packs(repository)[0]
    place.server.delete(pack_name(pack))
    report = repository.check_pack_data(pack)
    assert [problem.kind for problem in report.problems] == [MISSING_PACK]
    assert report.damaged == {blob.id for blob in repository.index.pack_blobs(pack)}


def test_a_swapped_pack_is_found(place: Any, repository: Any) -> None:
    one, two, *_ = packs(repository)
    place.server.objects[pack_name(one)] = place.server.objects[pack_name(two)]
    report = repository.check_pack_data(one)
    assert any("named after" in problem.message for problem in report.problems)
    assert any("not the same" in problem.message for problem in report.problems)
    assert len(report.damaged) == len(repository.index.pack_blobs(one))


def test_a_cut_pack_keeps_its_first_blobs(place: Any, repository: Any) -> None:
    pack = packs(repository)[0]
    blobs = repository.index.pack_blobs(pack)
    place.server.objects[pack_name(pack)] = place.server.objects[pack_name(pack)][: blobs[2].offset]
    assert repository.check_pack_data(pack).damaged == {blob.id for blob in blobs[2:]}


def test_packs_that_no_index_lists_are_told(place: Any, repository: Any) -> None:
    assert repository.unreferenced_packs() == {}
    place.server.put(pack_name(PackId(b"\xee" * 32)), b"left by somebody")
    place.server.put("data/ee/not-a-pack", b"?")
    assert repository.unreferenced_packs() == {b"\xee" * 32: 16}
