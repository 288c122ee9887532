"""Store one large file with the help of all workers.

Some worker finds the cuts of a stretch of the file, then all workers store ranges of chunks, while the next stretch is
being cut. The result is the same as if one worker had read the file from start to end.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from backup_core.engine.messages import (
    Answer,
    CutsPlanned,
    Facts,
    FileOutcome,
    FileReference,
    PlanCuts,
    RangeStored,
    StoreRange,
    Task,
)

LARGE = 32 << 20
"""Bytes from which a file is stored in this way: below, one worker is done before the others could help."""

_STRETCH = 64 << 20
_RANGE = 8 << 20
_FEW_RANGES = 4


class CutJob:
    """One stretch of a large file to be cut."""

    def __init__(self, owner: LargeFile) -> None:
        self._owner = owner

    def task(self, number: int) -> Task:
        """What to send to a worker."""
        return PlanCuts(number, self._owner.file, self._owner.planned_to, _STRETCH)

    def finish(self, answer: Answer) -> list[CutJob | RangeJob]:
        """Take the worker's answer; the jobs that follow from it."""
        if not isinstance(answer, CutsPlanned):
            raise TypeError(f"cuts were asked for, {type(answer).__name__} came")
        return self._owner.take_cuts(answer)


class RangeJob:
    """Some chunks of a large file to be stored."""

    def __init__(self, owner: LargeFile, part: int, offset: int, pieces: list[int]) -> None:
        self._owner = owner
        self._part = part
        self._offset = offset
        self._pieces = pieces

    def task(self, number: int) -> Task:
        """What to send to a worker."""
        return StoreRange(number, self._owner.file, self._offset, self._pieces)

    def finish(self, answer: Answer) -> list[CutJob | RangeJob]:
        """Take the worker's answer; the jobs that follow from it."""
        if not isinstance(answer, RangeStored):
            raise TypeError(f"a range was to be stored, {type(answer).__name__} came")
        return self._owner.take_range(self._part, answer)


class _Attempt:
    """What is known while a file is read from its start to its end."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        """Joined ids of each range."""
        self.running = 0
        self.size = 0
        self.cutting = True
        self.at_end = False
        self.steady = True
        self.failure: FileOutcome | None = None

    def note(self, answer: CutsPlanned | RangeStored) -> None:
        self.steady = self.steady and answer.steady
        self.failure = self.failure or answer.failure
        self.at_end = self.at_end or self.failure is not None


class LargeFile:
    """The state of one large file on its way into the repository."""

    def __init__(self, file: FileReference, done: Callable[[FileOutcome], None]) -> None:
        """``done`` is called once, with what became of the file."""
        self.file = file
        self.planned_to = 0
        """Bytes from the start for which the cuts are known."""
        self._done = done
        self._found: os.stat_result | None = None
        self._attempt = _Attempt()

    def first_job(self) -> CutJob:
        """What the work starts with."""
        return CutJob(self)

    def take_cuts(self, answer: CutsPlanned) -> list[CutJob | RangeJob]:
        """Ranges for the chunks just found, and what else can be done now."""
        self._attempt.cutting = False
        self._attempt.at_end = answer.at_end
        self._attempt.note(answer)
        jobs: list[CutJob | RangeJob] = []
        pieces: list[int] = []
        start = offset = self.planned_to
        data = 0
        for piece in answer.pieces:
            pieces.append(piece)
            data += max(piece, 0)
            offset += piece if piece > 0 else -piece * answer.zero_length
            if data >= _RANGE:
                jobs.append(self._range(start, pieces))
                start, pieces, data = offset, [], 0
        if pieces:
            jobs.append(self._range(start, pieces))
        self.planned_to = answer.next_offset
        return jobs + self._next()

    def take_range(self, part: int, answer: RangeStored) -> list[CutJob | RangeJob]:
        """Note the ids of stored chunks; what can be done now."""
        attempt = self._attempt
        attempt.running -= 1
        attempt.parts[part] = answer.ids
        attempt.size += answer.size
        attempt.note(answer)
        return self._next()

    def _range(self, offset: int, pieces: list[int]) -> RangeJob:
        attempt = self._attempt
        attempt.parts.append(b"")
        attempt.running += 1
        return RangeJob(self, len(attempt.parts) - 1, offset, pieces)

    def _next(self) -> list[CutJob | RangeJob]:
        attempt = self._attempt
        if attempt.cutting or (attempt.at_end and attempt.running):
            return []
        if attempt.at_end:
            return self._end()
        if attempt.running > _FEW_RANGES:
            return []
        attempt.cutting = True
        return [CutJob(self)]

    def _end(self) -> list[CutJob | RangeJob]:
        attempt = self._attempt
        if attempt.failure is not None:
            self._done(attempt.failure)
        elif attempt.steady or self._found is not None:
            ids = b"".join(attempt.parts)
            self._done(FileOutcome("stored" if attempt.steady else "changed", attempt.size, ids, self._found))
        else:
            return self._once_more()
        return []

    def _once_more(self) -> list[CutJob | RangeJob]:
        """Begin again with the file as it is now."""
        try:
            self._found = os.lstat(self.file.path)
        except OSError as error:
            self._done(FileOutcome("vanished", reason=error.strerror or str(error)))
            return []
        self.file = FileReference(self.file.path, Facts.of(self._found))
        self.planned_to = 0
        self._attempt = _Attempt()
        return [CutJob(self)]
