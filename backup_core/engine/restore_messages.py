"""What a restore and the processes that write for it say to each other. Boxes lie in shared memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from backup_core.types import BlobId, PackId


class WriteSettings(NamedTuple):
    """First message to a process that is to write for a restore. The target's descriptor follows it."""

    key: bytes
    """The master key as JSON. It travels through a private socket, never through arguments or the environment."""
    delete: bool
    """As of the plan."""


class Piece(NamedTuple):
    """A place in a part file."""

    entry: int
    directory: int
    """Number of its directory's entry."""
    part: bytes
    offset: int
    old: bool
    """True when an earlier run has left something in this place, which need not be zeros."""


class NewFile(NamedTuple):
    """A box in the slot that is all of a file which is not there yet: most of most restores. Travels as a plain tuple,
    since a named one costs four times as much to send."""

    entry: int
    directory: int
    """Number of its directory's entry."""
    name: bytes
    stamp: tuple[Any, ...] | None
    """The fields of ``Stamp``."""
    blob: BlobId
    start: int
    length: int
    uncompressed_length: int


class SealedBlob(NamedTuple):
    """A box in the slot, and where its content goes."""

    id: BlobId
    start: int
    """In the slot."""
    length: int
    uncompressed_length: int
    """As of ``BlobLocation``."""
    files: list[int]
    """Numbers of files that this blob is all of."""
    pieces: list[Piece]
    """Places in part files, which are there."""


class WriteBlobs(NamedTuple):
    """Open these boxes of one pack and write what they hold."""

    slot: int
    pack: PackId
    entries: list[tuple[int, tuple[object, ...]]]
    """Number and ``PlanEntry``, as plain tuples, of the files of ``blobs``, and of directories that were not spoken of
    before."""
    files: list[tuple[object, ...]]
    """The fields of ``NewFile``."""
    blobs: list[SealedBlob]
    """All others."""


class BlobsWritten(NamedTuple):
    """Answer to ``WriteBlobs``."""

    finished: list[int]
    """Entries that stand under their names."""
    failed: list[tuple[int, str]]
    warnings: list[tuple[str, int, str]]
    """Kind, entry and sentence."""
    damaged: list[tuple[BlobId, str]]
    """Boxes that do not open, and what is wrong."""
    stop: str
    """Why everything else would fail, too; "" when it would not."""
