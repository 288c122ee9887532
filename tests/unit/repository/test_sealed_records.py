"""Records beside the format: sealed, bound to their names, and invisible to other programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backup_core.errors import Corrupt, ListingUnproved, NotFound
from backup_core.repository.sealed_records import RecordName, SealedRecords

WRITER = "0123456789abcdef"
FIRST, SECOND = RecordName(WRITER, 1), RecordName(WRITER, 2)


@pytest.fixture
def records(repository) -> SealedRecords:
    return SealedRecords(repository)


def test_what_is_written_is_read_and_listed(records: SealedRecords, place) -> None:
    size = records.write(SECOND, b'{"a": "' + "密".encode() + b'"}')
    records.write(FIRST, b"{}")
    assert records.list() == [FIRST, SECOND]
    assert records.read(SECOND) == b'{"a": "' + "密".encode() + b'"}'
    assert size == len(place.server.objects[SECOND.path])
    records.delete(SECOND)
    records.delete(SECOND)
    assert records.list() == [FIRST]
    with pytest.raises(NotFound):
        records.read(SECOND)


def test_nothing_in_a_record_can_be_read_without_the_key(records: SealedRecords, place) -> None:
    records.write(FIRST, b'{"configuration": "a-name-to-find"}' * 3)
    assert b"a-name-to-find" not in place.server.objects[FIRST.path]


def test_a_record_under_another_name_is_found_out(records: SealedRecords, place) -> None:
    records.write(FIRST, b"{}")
    place.server.objects[SECOND.path] = place.server.objects[FIRST.path]
    with pytest.raises(Corrupt, match="another record"):
        records.read(SECOND)


@pytest.mark.parametrize("where", [0, 20, -1])
def test_damage_is_found(records: SealedRecords, place, where: int) -> None:
    records.write(FIRST, b"{}" * 50)
    box = bytearray(place.server.objects[FIRST.path])
    box[where] ^= 1
    place.server.objects[FIRST.path] = bytes(box)
    with pytest.raises(Corrupt, match="damaged"):
        records.read(FIRST)
    place.server.objects[FIRST.path] = b""
    with pytest.raises(Corrupt, match="damaged"):
        records.read(FIRST)


def test_foreign_files_are_passed_over_and_doubtful_listings_refused(
    records: SealedRecords, place, monkeypatch
) -> None:
    records.write(FIRST, b"{}")
    place.server.put("davault/notes.txt", b"mine")
    assert records.list() == [FIRST]
    whole = place.server.list("davault")
    monkeypatch.setattr(place.server, "list", lambda _: replace(whole, proved_complete=False, doubt="750 entries"))
    with pytest.raises(ListingUnproved, match="750 entries"):
        records.list()


def test_names_go_both_ways() -> None:
    assert RecordName.parse(FIRST.path) == FIRST
    assert RecordName.parse("davault/other") is None
