"""Whatever a server answers when one object, or the size of one, is asked for, pruning removes nothing needed."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import BackupError, ConnectionLost, NotFound, ShortRead
from backup_core.repository.prune_run import prune
from backup_core.storage.backend import Listing, ObjectInfo
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend
from backup_core.testing.tally import Tally

from .test_prune_run import PACK, THOROUGH, assert_whole, kept  # noqa: F401 - "kept" is a fixture


def missing(_: bytes) -> bytes:
    raise NotFound("404")


def short(_: bytes) -> bytes:
    raise ShortRead("cut")


def failing(_: bytes) -> bytes:
    raise ConnectionLost("the line broke")


def other_bytes(data: bytes) -> bytes:
    return bytes(len(data))


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def nothing(_: bytes) -> bytes:
    return b""


def longer(data: bytes) -> bytes:
    return data + b"x"


LIES = {
    "get": [missing, short, failing, other_bytes, half, nothing, longer],
    "stat": [missing, failing, half, nothing, longer],
    "sizes": [half, nothing, longer],
}
"""What is lied about: content, a pack that no listing shows when it is asked for by name, and sizes in listings. A size
is as long as what comes out."""


class Liar(FaultyBackend):
    """Lies in the ``at``-th answer of a kind (all of them when that is None)."""

    def __init__(self, server: MemoryBackend, verb: str, lie: Callable[[bytes], bytes], at: int | None) -> None:
        super().__init__(server)
        self.asked = 0
        self._verb, self._lie, self._at = verb, lie, at

    def _due_to_lie(self, verb: str) -> bool:
        if verb != self._verb:
            return False
        number, self.asked = self.asked, self.asked + 1
        return self._at in (None, number)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset=offset, length=length)
        return self._lie(data) if self._due_to_lie("get") else data

    def stat(self, name: str) -> ObjectInfo:
        if self._due_to_lie("stat"):  # also of what is not there
            content = self.inner.objects.get(name, b"yes")  # type: ignore[attr-defined]
            return ObjectInfo(name, len(self._lie(content)))
        return super().stat(name)

    def list(self, directory: str) -> Listing:
        listing = super().list(directory)
        if self._verb == "stat" and directory.startswith("data/"):
            return replace(listing, objects=listing.objects[1:])
        if not listing.objects or not self._due_to_lie("sizes"):
            return listing
        told = tuple(replace(entry, size=len(self._lie(bytes(entry.size)))) for entry in listing.objects)
        return replace(listing, objects=told)


def _times(asked: int) -> list[int | None]:
    """When to lie: always, and once; ``make torture`` tries every answer."""
    return [*(range(asked) if "DAVAULT_TALLY" in os.environ else (0, asked // 2)), None]


@pytest.mark.parametrize("verb", LIES)
def test_nothing_needed_goes_whatever_is_said_of_an_object(
    place: Any,
    kept: list[Any],  # noqa: F811
    verb: str,
    tmp_path: Path,
) -> None:
    objects = dict(place.server.objects)
    rooms = itertools.count()
    told = []

    def attempt(lie: Callable[[bytes], bytes], at: int | None) -> int:
        number = next(rooms)
        server = MemoryBackend()
        server.objects |= objects
        cache = tmp_path / f"cache{number}"
        if number % 2:  # a machine that knows the repository, and one that does not
            shutil.copytree(place.cache, cache)
        liar = Liar(server, verb, lie, at)
        with place.open(liar, cache=cache, pack_size=PACK, upload_threads=1) as repository, suppress(BackupError):
            prune(repository, THOROUGH)
        with place.open(server, cache=tmp_path / f"elsewhere{number}") as elsewhere:
            assert_whole(elsewhere, kept)
            assert elsewhere.check_packs() == []
        told.append(lie)
        return liar.asked

    asked = attempt(bytes, -1)
    assert asked > 0
    for lie in LIES[verb]:
        for at in _times(asked):
            attempt(lie, at)
    tally = Tally()
    tally.add(lies=len(told) - 1)
    tally.write(f"false answers of {verb}")
