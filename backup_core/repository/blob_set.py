"""Millions of blob ids in little memory: a hash table in one piece of memory, about 50 bytes an id.

A Python set takes twice as much for an id, and an object each. Ids are spread evenly by nature, so their first bytes
are their hash.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

from backup_core.types import BlobId

_ID = 32
_EMPTY = bytes(_ID)
_FIRST_SLOTS = 1 << 10
_FULLEST = 0.7
"""Share of the slots that are taken before the table is made twice as large."""


class BlobSet:
    """A set of blob ids that only grows. Not safe between threads."""

    def __init__(self, blobs: Iterable[BlobId] = ()) -> None:
        self._slots = _FIRST_SLOTS
        self._table = mmap.mmap(-1, self._slots * _ID)
        self._used = 0
        self._has_zero = False  # the id that looks like an empty slot
        self.update(blobs)

    def __len__(self) -> int:
        return self._used + self._has_zero

    def __contains__(self, blob: object) -> bool:
        if not isinstance(blob, bytes) or len(blob) != _ID:
            return False
        if blob == _EMPTY:
            return self._has_zero
        return self._table[(at := self._place_of(blob)) : at + _ID] == blob

    def add(self, blob: BlobId) -> bool:
        """Put an id in; True when it was not there yet."""
        if blob == _EMPTY:
            fresh, self._has_zero = not self._has_zero, True
            return fresh
        at = self._place_of(blob)
        if self._table[at : at + _ID] == blob:
            return False
        self._table[at : at + _ID] = blob
        self._used += 1
        if self._used > _FULLEST * self._slots:
            self._grow()
        return True

    def update(self, blobs: Iterable[BlobId]) -> None:
        """Put several in."""
        for blob in blobs:
            self.add(blob)

    def _place_of(self, blob: bytes) -> int:
        """Where an id is, or belongs."""
        table, end = self._table, self._slots * _ID
        at = (int.from_bytes(blob[:8], "little") & (self._slots - 1)) * _ID
        while (found := table[at : at + _ID]) != blob and found != _EMPTY:
            at += _ID
            if at == end:
                at = 0
        return at

    def _grow(self) -> None:
        old, slots = self._table, self._slots
        self._slots = 2 * slots
        self._table = mmap.mmap(-1, self._slots * _ID)
        for start in range(0, slots * _ID, _ID):
            blob = old[start : start + _ID]
            if blob != _EMPTY:
                at = self._place_of(blob)
                self._table[at : at + _ID] = blob
        old.close()
