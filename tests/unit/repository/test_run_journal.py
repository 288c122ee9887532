from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_core.repository.run_journal import RunJournal
from backup_core.types import BlobId, BlobType, PackedBlob, PackId

NAME = "index/" + "a" * 64
OTHER = "locks/" + "b" * 64


def pack(number: int) -> tuple[PackId, tuple[PackedBlob, ...]]:
    blob = PackedBlob(BlobId(bytes([number]) * 32), BlobType.TREE, 0, 100, 150)
    return PackId(bytes([255 - number]) * 32), (blob, blob._replace(offset=100, uncompressed_length=0))


def fail(error: OSError) -> None:
    raise AssertionError(error)


def make(directory: Path) -> RunJournal:
    return RunJournal(directory, on_failure=fail)


def files(directory: Path) -> list[str]:
    return [path.suffix for path in directory.iterdir()]


def test_a_quiet_process_writes_no_file(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.end_put(NAME)
    journal.forget_packs([])
    journal.close()
    assert files(tmp_path) == []


def test_what_is_done_leaves_nothing(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.begin_put(NAME, 10)
    journal.add_pack(*pack(1))
    journal.end_put(NAME)
    assert files(tmp_path) == [".journal"]
    journal.forget_packs([pack(1)[0]])
    journal.close()
    assert files(tmp_path) == []


def test_what_a_dead_process_had_under_way_is_taken_over(tmp_path: Path) -> None:
    dead = make(tmp_path)
    dead.begin_put(NAME, 10)
    dead.begin_put(OTHER, 20)
    dead.end_put(NAME)
    dead.add_pack(*pack(1))
    dead.add_pack(*pack(2))
    dead.forget_packs([pack(1)[0]])
    dead.close()
    heir = make(tmp_path)
    heir.add_pack(*pack(3))
    heir.take_over()
    assert heir.unfinished_puts() == {OTHER: 20}
    assert heir.unindexed_packs() == dict([pack(2), pack(3)])
    assert files(tmp_path) == [".journal"]
    heir.close()
    second_heir = make(tmp_path)
    second_heir.take_over()
    assert second_heir.unindexed_packs() == dict([pack(2), pack(3)])


def test_the_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    living, other = make(tmp_path), make(tmp_path)
    living.add_pack(*pack(1))
    other.take_over()
    assert other.unindexed_packs() == {}
    living.close()
    other.take_over()
    assert other.unindexed_packs() == dict([pack(1)])


def test_a_journal_left_by_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        make(tmp_path).add_pack(*pack(1))
        os._exit(9)
    os.waitpid(child, 0)
    heir = make(tmp_path)
    heir.take_over()
    assert heir.unindexed_packs() == dict([pack(1)])


@pytest.mark.parametrize("lost", [1, 20, 200])
def test_a_line_that_was_being_written_is_passed_over(tmp_path: Path, lost: int) -> None:
    dead = make(tmp_path)
    dead.begin_put(NAME, 10)
    dead.add_pack(*pack(1))
    dead.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-lost])
    heir = make(tmp_path)
    heir.take_over()
    assert heir.unindexed_packs() == {}
    assert heir.unfinished_puts() == {NAME: 10}


def test_nonsense_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1.journal").write_bytes(b"\xff\xfe\nW ten x\nP {}\nW \xe9 y\nQ\n\n" + f"W 5 {NAME}\n".encode())
    heir = make(tmp_path)
    heir.take_over()
    assert (heir.unfinished_puts(), heir.unindexed_packs()) == ({NAME: 5}, {})


def test_a_disk_that_takes_nothing_is_told_and_stops_nobody(tmp_path: Path) -> None:
    told: list[OSError] = []
    journal = RunJournal(tmp_path / "absent", on_failure=told.append)
    journal.begin_put(NAME, 10)
    journal.add_pack(*pack(1))
    journal.forget_packs([pack(1)[0]])
    journal.end_put(NAME)
    journal.close()
    assert told
    assert journal.unindexed_packs() == {}
