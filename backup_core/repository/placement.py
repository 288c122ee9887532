"""In which folders new packs come to lie.

The format spreads packs over 256 folders by the first byte of their ids. Where every folder costs a request to make
and one to list, that triples the requests of a backup. But a pack's id is the hash of its bytes, and its header can be
sealed again with other random bytes until the id begins as wished. So packs are gathered in few folders, each filled
before the next is begun. To readers such packs are like any others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from hashlib import sha256

from backup_core.types import PackId

_FOLDERS = 256


class PackPlacement:
    """Chooses folders for new packs, by the first byte of their ids. Safe between threads."""

    def __init__(self, repository_id: str, packs: Iterable[PackId], *, limit: int | None, one_at_a_time: bool) -> None:
        """``packs`` are those there are, ``limit`` how many belong into one folder (None: any pack goes anywhere).

        ``one_at_a_time`` is for servers on which all folders of a run are listed at its end; else a pack may go into
        any folder with room that exists.
        """
        self._limit = limit
        self._one_at_a_time = one_at_a_time
        self._counts = [0] * _FOLDERS
        self._begun: set[int] = set()
        self._current: int | None = None
        self._lock = threading.Lock()
        # The same for all who write to this repository, so that they begin the same folder, and another in each.
        self._order = sorted(range(_FOLDERS), key=lambda number: sha256(f"{repository_id}{number}".encode()).digest())
        if limit is not None:
            for pack in packs:
                self.note(pack)

    def choose(self) -> bytes:
        """The first bytes that the id of the next pack may have; none when all may be."""
        limit = self._limit
        if limit is None:
            return b""
        with self._lock:
            if self._current is not None and self._counts[self._current] < limit:
                return bytes([self._current])
            self._current = None
            open_ = [number for number in self._order if number in self._begun and self._counts[number] < limit]
            if not open_:
                unused = next((number for number in self._order if number not in self._begun), None)
                if unused is None:
                    return b""  # every folder is full
                self._begun.add(unused)
                open_ = [unused]
            if self._one_at_a_time:
                self._current = min(open_, key=self._counts.__getitem__)
                open_ = [self._current]
            return bytes(sorted(open_))

    def note(self, pack: PackId) -> None:
        """A pack is on the server."""
        with self._lock:
            self._counts[pack[0]] += 1
            self._begun.add(pack[0])
