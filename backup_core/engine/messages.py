"""What the main process and its workers say to each other.

Only ids, paths and numbers travel; file content stays in the worker, packs in a file that both have open. All messages
can be pickled. Main sends at most ``TASKS_AHEAD`` tasks of at most ``MAX_TASK_TEXT`` bytes of paths ahead of the
answers, which always fits into the socket's buffer: so main never waits for a worker while sending, and both cannot
wait for each other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from backup_core.engine.restore_messages import BlobsWritten, WriteBlobs, WriteSettings
from backup_core.engine.verify_messages import ExaminePack, ExamineSettings, PackExamined
from backup_core.repository.index import IndexHandle
from backup_core.types import BlobId, BlobType, PackedBlob, PackId

TASKS_AHEAD = 2
MAX_TASK_TEXT = 48 << 10

Status: TypeAlias = Literal["stored", "changed", "unsettled", "vanished", "unreadable", "irregular"]
"""How reading a file ended: as it should; it changed meanwhile, twice; it is a database of which no consistent copy
could be had, and was kept as it was read; it was gone; it could not be read; it was no regular file any more."""


class Facts(NamedTuple):
    """By what a file is known to be as it was: ``st_ino``, ``st_size``, and two times in nanoseconds."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Facts:
        """The facts of a file."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class FileReference(NamedTuple):
    """A file to be stored, and what it was like when it was found."""

    path: bytes
    facts: Facts


class Settings(NamedTuple):
    """First message to a worker."""

    index_handle: IndexHandle
    key: bytes
    """The master key as JSON. It travels through a private socket, never through arguments or the environment."""
    seed: int
    """Of the chunker."""
    compression_level: int | None
    pack_size: int
    """Bytes at which a pack is closed."""
    database_scratch: str | None = None
    """Where copies of databases lie until they are stored; None reads databases like other files."""


class StoreFiles(NamedTuple):
    """Store these files, each as a whole.

    They are plain tuples of path and ``Facts``: named ones cost four times as much to send, once for every file.
    """

    number: int
    files: list[tuple[bytes, tuple[int, int, int, int]]]


class StoreDatabase(NamedTuple):
    """Store a consistent copy of a database. The answer is ``FilesStored``."""

    number: int
    path: bytes
    facts: tuple[int, int, int, int]
    """As for ``StoreFiles``."""


class PlanCuts(NamedTuple):
    """Find the chunks of a large file from ``offset`` (a cut) on, for about ``limit`` bytes of data."""

    number: int
    file: FileReference
    offset: int
    limit: int


class StoreRange(NamedTuple):
    """Store these chunks of a large file.

    ``pieces`` as in ``CutsPlanned``.
    """

    number: int
    file: FileReference
    offset: int
    pieces: list[int]


class GrantSlot(NamedTuple):
    """The slot of this number is the worker's until it says ``PackReady``."""

    slot: int
    first_bytes: bytes = b""
    """What the pack's id may begin with; see ``PackBuilder.finish``."""


class FlushPacks(NamedTuple):
    """Close the pack under way."""


Task: TypeAlias = StoreFiles | StoreDatabase | PlanCuts | StoreRange
ToWorker: TypeAlias = (
    Settings | Task | GrantSlot | FlushPacks | WriteSettings | WriteBlobs | ExamineSettings | ExaminePack
)


class FileOutcome(NamedTuple):
    """What became of one file."""

    status: Status
    size: int = 0
    """Bytes read."""
    ids: bytes = b""
    """The ids of its chunks, joined."""
    found: os.stat_result | None = None
    """What the file was like when it was read; None when that is what the reference says."""
    reason: str = ""
    """For people, when it could not be read."""


class FilesStored(NamedTuple):
    """Answer to ``StoreFiles`` and ``StoreDatabase``, in the same order.

    Few files are unusual, so that most need no object of their own.
    """

    number: int
    sizes: list[int]
    ids: list[bytes]
    unusual: dict[int, FileOutcome]
    """Position -> outcome of the files that were not simply stored as they were found."""

    @classmethod
    def of(cls, number: int, outcomes: Sequence[FileOutcome]) -> FilesStored:
        """Pack outcomes up for the journey."""
        unusual = {n: o for n, o in enumerate(outcomes) if o.status != "stored" or o.found is not None}
        return cls(number, [o.size for o in outcomes], [o.ids for o in outcomes], unusual)

    def outcomes(self) -> Iterator[FileOutcome]:
        """Unpack them again."""
        for position, (size, ids) in enumerate(zip(self.sizes, self.ids, strict=True)):
            yield self.unusual.get(position) or FileOutcome("stored", size, ids)


class CutsPlanned(NamedTuple):
    """Answer to ``PlanCuts``.

    A positive piece is the length of one chunk, a negative one stands for so many chunks of a hole, each as long as
    ``zero_length``.
    """

    number: int
    pieces: list[int]
    next_offset: int
    at_end: bool
    zero_length: int
    steady: bool
    """False when the file is no longer what the reference says."""
    failure: FileOutcome | None = None


class RangeStored(NamedTuple):
    """Answer to ``StoreRange``."""

    number: int
    ids: bytes
    size: int
    """Bytes stored."""
    steady: bool
    failure: FileOutcome | None = None


class WantSlot(NamedTuple):
    """Another slot will be needed soon."""


class PackReady(NamedTuple):
    """A whole pack lies at the start of this slot."""

    slot: int
    pack: PackId
    size: int
    """Bytes."""
    entries: bytes
    """See ``unpack_entries``."""


class Flushed(NamedTuple):
    """Answer to ``FlushPacks``, after the pack if there was one."""


class WorkerFailed(NamedTuple):
    """The worker met an error it cannot go on after, and ends."""

    reason: str
    trace: str


Answer: TypeAlias = FilesStored | CutsPlanned | RangeStored
FromWorker: TypeAlias = Answer | WantSlot | PackReady | Flushed | WorkerFailed | BlobsWritten | PackExamined

_ENTRY = struct.Struct("=32sII")


def pack_entries(blobs: Iterable[PackedBlob]) -> bytes:
    """The blobs of a data pack, as a few bytes each."""
    return b"".join([_ENTRY.pack(blob.id, blob.length, blob.uncompressed_length) for blob in blobs])


def unpack_entries(entries: bytes) -> tuple[PackedBlob, ...]:
    """What ``pack_entries`` was given."""
    blobs: list[PackedBlob] = []
    offset = 0
    for raw, length, plain in _ENTRY.iter_unpack(entries):
        blobs.append(PackedBlob(BlobId(raw), BlobType.DATA, offset, length, plain))
        offset += length
    return tuple(blobs)
