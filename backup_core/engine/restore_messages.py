"""What a restore and the processes that write for it say to each other. Boxes lie in shared memory."""

from __future__ import annotations

from typing import NamedTuple

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
    """Number and ``PlanEntry`` of the files, as plain tuples (named ones cost four times as much to send), and of
    directories that were not spoken of before."""
    blobs: list[SealedBlob]


class BlobsWritten(NamedTuple):
    """Answer to ``WriteBlobs``."""

    finished: list[int]
    """Entries that stand under their names."""
    failed: list[tuple[int, str]]
    warnings: list[tuple[str, int, str]]
    """Kind, entry and sentence."""
    damaged: list[tuple[int, str]]
    """Boxes that do not open: position in the question, and what is wrong."""
    stop: str
    """Why everything else would fail, too; "" when it would not."""
