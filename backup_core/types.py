"""Words of the field as types: typed ids, blob kinds, places of blobs, secrets."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, NewType, TypeAlias

BlobId = NewType("BlobId", bytes)
"""SHA-256 of a blob's plaintext, 32 raw bytes."""

TreeId = NewType("TreeId", BlobId)
"""A blob id known to be that of a tree."""

PackId = NewType("PackId", bytes)
"""SHA-256 of a pack file's stored bytes, 32 raw bytes."""

SnapshotId = NewType("SnapshotId", str)
"""Name of a snapshot file: 64 lower-case hex digits."""

IndexId = NewType("IndexId", str)
"""Name of an index file: 64 lower-case hex digits."""

KeyId = NewType("KeyId", str)
"""Name of a key file: 64 lower-case hex digits."""

LockId = NewType("LockId", str)
"""Name of a lock file: 64 lower-case hex digits."""

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Anything C-backed calls read without copying."""


class BlobType(IntEnum):
    """What a blob holds: file content, or a directory."""

    DATA = 0
    TREE = 1


class BlobLocation(NamedTuple):
    """Where a blob lies on the server."""

    pack: PackId
    type: BlobType
    offset: int
    """Bytes from the start of the pack."""
    length: int
    """Stored (sealed) bytes."""
    uncompressed_length: int
    """Plaintext bytes when the blob is compressed, 0 when it is stored as it is."""

    @property
    def plaintext_length(self) -> int:
        """Bytes of the blob once opened (a sealed box is 32 bytes longer than what it holds)."""
        return self.uncompressed_length or self.length - 32


class PackedBlob(NamedTuple):
    """One entry of a pack's header: a blob and its place in that pack."""

    id: BlobId
    type: BlobType
    offset: int
    length: int
    uncompressed_length: int


class Secret:
    """A password or key that never shows itself: not in ``str``, ``repr``, logs, pickles or tracebacks.

    The clear text is only had by ``reveal()``, called at the last moment by the code that needs it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The clear text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret cannot be pickled; pass its reference instead")
