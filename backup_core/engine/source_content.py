"""Read the content of files, cut it into chunks, and hand each chunk to a store. Runs in the workers.

A file is read through one buffer that is used again and again. Files that change while they are read are read once
more; what is kept then is what was read, with the times the file had before, so that the next run looks at it again.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from backup_core.engine.messages import (
    CutsPlanned,
    Facts,
    FileOutcome,
    FileReference,
    PlanCuts,
    RangeStored,
    Status,
    StoreRange,
)
from backup_core.format.chunker import MAX, MIN, Chunker
from backup_core.types import BlobId

_BUFFER = MAX + (4 << 20)
"""Bytes. After each filling at most one chunk's length stays to be looked at again."""

_SMALLEST_DATABASE = 512
_HEADER = 100
"""Bytes at the beginning of a file that tell whether it is a database, see ``live.databases``."""

# A name may come to stand for something else between listing and opening: never follow a link, never wait for a pipe.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# Only who owns a file may read it without a trace (open(2)).
_NO_TRACE = getattr(os, "O_NOATIME", 0)
_GONE = frozenset((errno.ENOENT, errno.ENOTDIR))
_NOT_A_FILE = frozenset((errno.ELOOP, errno.ENXIO, errno.EISDIR))


class NotAFile(OSError):
    """The name stands for something else than a regular file."""


def _open(path: bytes) -> tuple[int, os.stat_result]:
    try:
        descriptor = os.open(path, _FLAGS | _NO_TRACE)
    except PermissionError:
        descriptor = os.open(path, _FLAGS)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NotAFile(errno.ENXIO, "no regular file any more")
    return descriptor, found


def _reader_of(descriptor: int) -> Callable[[memoryview], int]:
    return lambda buffer: os.readv(descriptor, [buffer])


def _failure(error: OSError) -> FileOutcome:
    status: Status = "unreadable"
    if error.errno in _GONE:
        status = "vanished"
    elif error.errno in _NOT_A_FILE:
        status = "irregular"
    return FileOutcome(status, reason=error.strerror or str(error))


def _same_file(reference: FileReference, found: os.stat_result) -> bool:
    facts = reference.facts
    return (facts.inode, facts.size, facts.mtime_ns) == (found.st_ino, found.st_size, found.st_mtime_ns)


class Databases(Protocol):
    """Knows how to read databases that may be being written."""

    def is_written_in_place(self, beginning: bytes) -> bool:
        """Whether a file that begins so is a database that cannot be read safely like any file."""
        ...

    def copy(self, path: bytes) -> AbstractContextManager[bytes]:
        """The path of a consistent copy, which is removed afterwards; that of the database itself if it is consistent
        as it is. Raises ``OSError`` with the reason when no copy can be had."""
        ...


class ContentReader:
    """Reads files for one worker."""

    databases: Databases | None = None
    """None reads databases like other files."""

    def __init__(self, chunker: Chunker, store: Callable[[memoryview], BlobId]) -> None:
        """``store`` takes a chunk (only valid during the call) and gives its id."""
        self._chunker = chunker
        self._store = store
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER))
        self._zero_chunk: BlobId | None = None
        self._zero_chunk_length = 0

    def store_file(self, path: bytes, facts: tuple[int, int, int, int]) -> FileOutcome:
        """Store a whole file; ``facts`` as in ``Facts``."""
        return self._store_plain(path, facts, self.databases) or self.store_database(path, facts)

    def store_database(self, path: bytes, facts: tuple[int, int, int, int]) -> FileOutcome:
        """Store a consistent copy of a database. What the facts say stays true: they are older than the copy."""
        if self.databases is None:
            return self._as_read(path, facts)
        try:
            with self.databases.copy(path) as copy:
                outcome = self._as_read(copy, facts)
            return outcome if copy == path else outcome._replace(found=None)
        except OSError as error:
            reason = error.strerror or str(error)
        outcome = self._as_read(path, facts)
        kept = outcome.status in ("stored", "changed")
        return outcome._replace(status="unsettled", reason=reason) if kept else outcome

    def store_stream(self, read: Callable[[memoryview], int]) -> tuple[list[bytes], int]:
        """Store all that ``read`` puts into the buffers it is given, until that is nothing; ids and bytes read."""
        return self._store_stream(read, 0)

    def _as_read(self, path: bytes, facts: tuple[int, int, int, int]) -> FileOutcome:
        return self._store_plain(path, facts, None) or FileOutcome("unreadable", reason="it was not read")

    def _store_plain(
        self, path: bytes, facts: tuple[int, int, int, int], databases: Databases | None
    ) -> FileOutcome | None:
        """Store a file as it is read; None when it is a database and ``databases`` are to be looked out for."""
        steady = False
        for _attempt in range(2):
            try:
                descriptor, before = _open(path)
                try:
                    if (
                        databases is not None
                        and before.st_size >= _SMALLEST_DATABASE
                        and databases.is_written_in_place(os.pread(descriptor, _HEADER, 0))
                    ):
                        return None
                    ids, size = self._store_stream(_reader_of(descriptor), before.st_size)
                    after = os.fstat(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                return _failure(error)
            steady = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            if steady:
                break
        found = None if Facts.of(before) == facts else before
        return FileOutcome("stored" if steady else "changed", size, b"".join(ids), found)

    def plan(self, task: PlanCuts) -> CutsPlanned:
        """Find the chunks of a stretch of a large file; holes are not read."""
        try:
            descriptor, found = _open(task.file.path)
            try:
                pieces, offset = self._plan_stretch(descriptor, task, sparse=found.st_blocks * 512 < found.st_size)
            finally:
                os.close(descriptor)
        except OSError as error:
            return CutsPlanned(task.number, [], task.offset, True, 0, False, _failure(error))
        at_end = offset >= task.file.facts.size or not pieces
        steady = _same_file(task.file, found) and (bool(pieces) or offset >= task.file.facts.size)
        return CutsPlanned(task.number, pieces, offset, at_end, self._zero_chunk_length, steady)

    def store_range(self, task: StoreRange) -> RangeStored:
        """Store planned chunks of a large file."""
        ids: list[bytes] = []
        offset, short = task.offset, False
        try:
            descriptor, _ = _open(task.file.path)
            try:
                for piece in task.pieces:
                    if piece < 0:
                        ids.append(self._zero_id() * -piece)
                        offset += self._zero_length() * -piece
                        continue
                    length = self._fill_at(descriptor, offset, piece)
                    if length:
                        ids.append(self._store(self._buffer[:length]))
                    offset += length
                    short = length < piece
                    if short:
                        break
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return RangeStored(task.number, b"", 0, False, _failure(error))
        steady = not short and _same_file(task.file, after)
        return RangeStored(task.number, b"".join(ids), offset - task.offset, steady)

    def _store_stream(self, read: Callable[[memoryview], int], expected: int) -> tuple[list[bytes], int]:
        """Store up to ``expected`` bytes (all there are when that is 0, as for files of /proc); ids and bytes read."""
        left = expected or (1 << 62)
        filled = self._fill(read, 0, left)
        if filled <= MIN:
            return ([self._store(self._buffer[:filled])] if filled else []), filled
        ids: list[bytes] = []
        total, start = filled, 0
        while True:
            at_end = filled < len(self._buffer) or total >= left
            rest = self._store_chunks(ids, filled, at_end=at_end)
            if at_end:
                return ids, total
            start = filled - rest
            self._buffer[:start] = self._buffer[rest:filled]
            filled = self._fill(read, start, left - total)
            total += filled - start

    def _store_chunks(self, ids: list[bytes], filled: int, *, at_end: bool) -> int:
        """Store the chunks at the start of the buffer; return where the one begins that is not known to be whole."""
        for offset, length in self._chunker.cuts(self._buffer[:filled]):
            if not at_end and offset + length == filled and length < MAX:
                return offset
            ids.append(self._store(self._buffer[offset : offset + length]))
        return filled

    def _fill(self, read: Callable[[memoryview], int], start: int, limit: int) -> int:
        """Read to the buffer from ``start`` on until it is full, ``limit`` bytes came or the file ends; the end."""
        end, target = start, min(len(self._buffer), start + limit)
        while end < target:
            count = read(self._buffer[end:target])
            if not count:
                break
            end += count
        return end

    def _fill_at(self, descriptor: int, offset: int, limit: int) -> int:
        """Read ``limit`` bytes from ``offset`` of the file to the start of the buffer; how many there were."""
        end, target = 0, min(len(self._buffer), limit)
        while end < target:
            count = os.preadv(descriptor, [self._buffer[end:target]], offset + end)
            if not count:
                break
            end += count
        return end

    def _plan_stretch(self, descriptor: int, task: PlanCuts, *, sparse: bool) -> tuple[list[int], int]:
        size = task.file.facts.size
        pieces: list[int] = []
        offset, data = task.offset, 0
        while offset < size and data < task.limit:
            if sparse and (holes := self._holes(descriptor, offset, size)):
                pieces.append(-holes)
                offset += holes * self._zero_length()
                continue
            filled = self._fill_at(descriptor, offset, size - offset)
            at_end = offset + filled >= size or filled < min(len(self._buffer), size - offset)
            lengths = [length for _, length in self._chunker.cuts(self._buffer[:filled])]
            if not at_end and lengths[-1] < MAX:
                lengths.pop()
            if not lengths:
                break
            pieces += lengths
            offset += sum(lengths)
            data += sum(lengths)
        return pieces, offset

    def _holes(self, descriptor: int, offset: int, size: int) -> int:
        """How many whole chunks of zeros begin at ``offset`` and lie, with all that decides on them, in a hole."""
        try:
            next_data = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return 0  # the file system does not know about holes
            next_data = size
        spare = min(next_data, size) - offset - MAX
        return spare // self._zero_length() + 1 if spare >= 0 else 0

    def _zero_length(self) -> int:
        """How long the chunker makes a chunk of nothing but zeros: the longest, or less if the seed cuts there."""
        if not self._zero_chunk_length:
            _, self._zero_chunk_length = next(iter(self._chunker.cuts(bytes(2 * MAX))))
        return self._zero_chunk_length

    def _zero_id(self) -> BlobId:
        """The id of such a chunk, which is stored once and then only referred to."""
        if self._zero_chunk is None:
            self._zero_chunk = self._store(memoryview(bytes(self._zero_length())))
        return self._zero_chunk
