"""In which folders packs come to lie."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.ids import blob_id, sha256
from backup_core.format.pack import PackBuilder, read_header
from backup_core.repository.placement import PackPlacement
from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.types import BlobType, PackId

ID = "ab" * 32


def pack(first: int) -> PackId:
    return PackId(bytes([first]) + os.urandom(31))


def placement(*packs: PackId, limit: int | None = 3, one_at_a_time: bool = True) -> PackPlacement:
    return PackPlacement(ID, packs, limit=limit, one_at_a_time=one_at_a_time)


def test_without_a_limit_packs_lie_where_they_happen_to() -> None:
    assert placement(pack(1), limit=None).choose() == b""


def test_one_folder_is_filled_before_the_next_is_begun() -> None:
    where = placement()
    used = []
    for _ in range(7):
        (first,) = where.choose()
        used.append(first)
        where.note(pack(first))
    assert [used.count(first) for first in dict.fromkeys(used)] == [3, 3, 1]


def test_all_who_write_to_a_repository_begin_the_same_folder_and_other_repositories_another() -> None:
    first = placement().choose()
    assert placement().choose() == first
    others = {PackPlacement(f"{n:064}", (), limit=3, one_at_a_time=True).choose() for n in range(20)}
    assert len(others) > 10


def test_folders_that_exist_are_used_before_a_new_one_is_made() -> None:
    there = [pack(7), pack(7), pack(9), pack(200), pack(200), pack(200)]
    assert placement(*there).choose() == bytes([9])
    assert placement(*there, one_at_a_time=False).choose() == bytes([7, 9])


def test_when_every_folder_is_full_packs_lie_anywhere() -> None:
    assert placement(*(pack(n) for n in range(256)), limit=1).choose() == b""


def test_a_pack_gets_an_id_that_begins_as_wished_and_stays_what_it_is() -> None:
    sealer = Sealer(MasterKey.generate(os.urandom))
    for wished in (b"\x07", b"\x00\xff", b""):
        buffer = bytearray(4096)
        builder = PackBuilder(buffer, sealer)
        builder.add(blob_id(b"content"), BlobType.DATA, b"content", 0)
        finished = builder.finish(wished)
        content = bytes(buffer[: finished.size])
        assert not wished or finished.id[0] in wished
        assert finished.id == sha256(content)
        assert read_header(content, len(content), sealer) == list(finished.blobs)


def test_the_packs_of_several_runs_lie_in_one_folder(place: Any, store: Callable[..., Any]) -> None:
    place.server = MemoryBackend(promises=Promises(packs_in_folder=100))
    for _ in range(3):
        store(place.open(pack_size=1000), [os.urandom(600) for _ in range(6)])
    folders = Counter(name.split("/")[1] for name in place.names("data"))
    assert len(folders) == 1
    assert folders.total() >= 12
