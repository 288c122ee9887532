"""Bringing the local merged index up to date with the index files on the server.

Only index files that no local segment covers are fetched. Few segments are kept: those of similar size are merged, so
every record is rewritten a logarithmic number of times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from backup_core.clock import Clock
from backup_core.errors import Corrupt, FormatError, IndexIncomplete, NotFound, RepositoryError, StorageError
from backup_core.format.index_file import decode_index
from backup_core.format.layout import FileKind
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.cache import Cache
from backup_core.repository.index import Index
from backup_core.repository.index_builder import SegmentBuilder, merge_segments
from backup_core.repository.index_segment import Segment
from backup_core.repository.sealed_files import SealedFiles
from backup_core.results import Problem, Severity
from backup_core.types import IndexId, PackedBlob, PackId

SUFFIX = ".segment"
MERGE_AT = 4
"""Segments of one size class that are merged into one."""

_SMALLEST_CLASS = 4096
_AHEAD = 2
"""Index files in memory at the same time: each is some 10 MB of JSON."""
_UNUSED_SECONDS = 3600
"""How long an unused segment stays: another process may have been told its path a moment ago."""


class IndexLoader:
    """Makes ``Index`` objects. One load at a time."""

    def __init__(self, files: SealedFiles, cache: Cache, clock: Clock) -> None:
        self._files = files
        self._cache = cache
        self._clock = clock

    def load(
        self,
        *,
        progress: ProgressTracker | None = None,
        cancel: CancelToken | None = None,
        problems: list[Problem] | None = None,
        allow_unproved: bool = False,
    ) -> Index:
        """The index as the server has it now.

        An index file that cannot be read raises ``IndexIncomplete``, unless ``problems`` takes note of it instead.
        Raises ``ListingUnproved`` when the listing may be incomplete, unless that is allowed. Either way such an index
        is marked as not ``complete``.
        """
        survey = self._files.list(FileKind.INDEX, allow_unproved=allow_unproved)
        directory = self._cache.directory("segments")
        segments = self._reusable(directory, survey.files)
        known = frozenset[str]().union(*(segment.index_ids for segment in segments))
        missing = [IndexId(digits) for digits in survey.files if digits not in known]
        faults: list[Problem] = []
        if missing:
            segments.append(self._fetch(directory, missing, faults, progress, cancel))
        if faults and problems is None:
            raise IndexIncomplete(faults[0].message)
        segments = list(self._tidy(segments))
        self._remove_unused(directory, segments)
        if survey.proved:
            self._cache.keep_only(FileKind.INDEX, survey.files)
        if problems is not None:
            problems.extend(faults)
        return Index(
            segments,
            complete=not faults and survey.proved,
            news=bool(missing),
            save=self._save,
            tidy=self._tidy,
            join=self._join,
        )

    def _reusable(self, directory: Path, listed: dict[str, int]) -> list[Segment]:
        """Segments that hold nothing but index files still on the server, no file twice, as much as possible."""
        found: list[tuple[Segment, frozenset[IndexId]]] = []
        for path in directory.glob(f"*{SUFFIX}"):
            try:
                segment = Segment(path)
            except Corrupt:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # removed by another process
            else:
                found.append((segment, segment.index_ids))
        found.sort(key=lambda item: (-len(item[1]), item[0].path.name))
        taken: list[Segment] = []
        covered: set[str] = set()
        for segment, indexes in found:
            if indexes and indexes <= listed.keys() and covered.isdisjoint(indexes):
                covered |= indexes
                taken.append(segment)
                with suppress(OSError):
                    os.utime(segment.path)  # keeps other processes from removing it as unused
            else:
                segment.close()
        return taken

    def _fetch(
        self,
        directory: Path,
        missing: Sequence[IndexId],
        faults: list[Problem],
        progress: ProgressTracker | None,
        cancel: CancelToken | None,
    ) -> Segment:
        """One segment of all these index files; those that cannot be read go to ``faults``."""
        with _local_disk(directory), SegmentBuilder(directory) as builder:
            read = self._files.read_each(FileKind.INDEX, missing, ahead=_AHEAD, cancel=cancel)
            for count, (digits, content) in enumerate(read, 1):
                if isinstance(content, StorageError) and not isinstance(content, NotFound):
                    raise content
                try:
                    if isinstance(content, Exception):
                        raise content
                    builder.add_index(IndexId(digits), decode_index(content))
                except (NotFound, FormatError) as error:
                    faults.append(_unreadable(digits, error))
                if progress is not None and len(missing) > 1:
                    progress.say(f"reading the index: {count} of {len(missing)} files")
            if progress is not None:
                progress.say("")
            return Segment(builder.write(directory / _name_of(builder.index_ids)), verify=False)

    def _save(self, index: IndexId, packs: Sequence[tuple[PackId, Sequence[PackedBlob]]]) -> Segment | None:
        """A segment of one index file that this process wrote; None when the disk does not take it."""
        try:
            directory = self._cache.directory("segments")
            with SegmentBuilder(directory) as builder:
                builder.add_index(index, packs)
                return Segment(builder.write(directory / _name_of({index})), verify=False)
        except (OSError, RepositoryError) as error:
            self._cache.note_failure(error)
            return None

    def _tidy(self, segments: Sequence[Segment]) -> list[Segment]:
        """Merge segments of similar size until there are few."""
        kept = list(segments)
        while group := choose_merge([len(segment) for segment in kept]):
            chosen = [kept[number] for number in group]
            indexes = frozenset[IndexId]().union(*(segment.index_ids for segment in chosen))
            merged = self._join(chosen, indexes)
            if merged is None:
                break  # many small segments answer as well, only slower
            kept = [segment for number, segment in enumerate(kept) if number not in group] + [merged]
        return kept

    def _join(self, segments: Sequence[Segment], indexes: frozenset[IndexId]) -> Segment | None:
        """One segment of several, for these index files; None when the disk does not take it."""
        try:
            path = merge_segments(segments, segments[0].path.parent / _name_of(indexes), indexes=indexes)
            return Segment(path, verify=False)
        except OSError as error:
            self._cache.note_failure(error)
            return None

    def _remove_unused(self, directory: Path, segments: Sequence[Segment]) -> None:
        """Remove files that no process has used for a while, also what killed ones left half-written."""
        used = {segment.path for segment in segments}
        oldest = self._clock.now().timestamp() - _UNUSED_SECONDS
        for path in directory.iterdir():
            with suppress(OSError):
                if path not in used and path.stat().st_mtime < oldest:
                    path.unlink()


def choose_merge(sizes: Sequence[int]) -> frozenset[int]:
    """Which of several segments, given by their numbers of records, to merge into one now; empty when none.

    Classes are a factor of four apart, so ten million blobs are at most rewritten six times on their way.
    """
    classes: dict[int, list[int]] = {}
    for number, size in enumerate(sizes):
        classes.setdefault((size // _SMALLEST_CLASS).bit_length() // 2, []).append(number)
    for level in sorted(classes):
        if len(classes[level]) >= MERGE_AT:
            return frozenset(classes[level])
    return frozenset()


def _name_of(indexes: Iterable[str]) -> str:
    """The same content has the same name, whoever writes it."""
    return sha256(" ".join(sorted(indexes)).encode("ascii")).hexdigest()[:32] + SUFFIX


def _unreadable(digits: str, error: Exception) -> Problem:
    return Problem(
        "damaged-index",
        f"the index file {digits} cannot be read, so what it lists counts as unknown: {error}. "
        "Repair the index before anything is deleted",
        object_id=digits,
        severity=Severity.ERROR,
    )


@contextmanager
def _local_disk(directory: Path) -> Iterator[None]:
    """Without a local index nothing can go on, so its disk failing is an error with advice."""
    try:
        yield
    except OSError as error:
        raise RepositoryError(
            f"the local index in {directory} cannot be written ({error}): free space or choose another home directory"
        ) from error
