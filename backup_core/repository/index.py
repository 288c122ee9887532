"""Where every blob of a repository lies: sorted segments on the local disk, and what this run has added.

``IndexView`` only reads and may be opened by any number of processes from an ``IndexHandle``. ``Index`` belongs to
the main process: packs stored in this run are added to a table in memory, and move to a segment of their own as
soon as an index file lists them on the server. So memory depends neither on the size of the repository nor on
that of the run. Everything here may be called from several threads.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Self

from backup_core.errors import RepositoryError
from backup_core.format.pack import pack_size_of
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId


class IndexHandle(NamedTuple):
    """What a worker process needs to open the same index. Can be pickled."""

    paths: tuple[Path, ...] = ()
    hidden: frozenset[PackId] = frozenset()


class IndexView:
    """Look-ups in a fixed set of segments."""

    def __init__(self, segments: Iterable[Segment] = (), hidden: frozenset[PackId] = frozenset()) -> None:
        # What is looked for is most often in the largest, so that one is asked first.
        self._segments = tuple(sorted(segments, key=len, reverse=True))
        self._hidden = hidden

    @classmethod
    def open(cls, handle: IndexHandle) -> Self:
        """Open what another process' ``Index.path`` named.

        Raises ``RepositoryError`` when the files are gone: the local cache was deleted meanwhile.
        """
        try:
            return cls([Segment(path, verify=False) for path in handle.paths], handle.hidden)
        except OSError as error:
            raise RepositoryError(
                f"the local index cannot be opened ({error}): the cache was removed while in use. Start again"
            ) from error

    def find(self, blob: BlobId, kind: BlobType | None = None) -> BlobLocation | None:
        """A place of ``blob`` (of this type, if one is named), None when it is in no pack that is known and usable."""
        if self._hidden:
            return next(self._places(blob, kind), None)
        for segment in self._segments:
            place = segment.locate(blob, kind)
            if place is not None:
                return place
        return None

    def find_all(self, blob: BlobId, kind: BlobType | None = None) -> list[BlobLocation]:
        """Every place of ``blob``: one that was stored twice can still be read when one of its packs is damaged."""
        return list(dict.fromkeys(self._places(blob, kind)))

    def contains(self, blob: BlobId, kind: BlobType) -> bool:
        """Whether ``blob`` is stored with this type. File content that happens to be the text of a directory is
        another blob than that directory, with the same id."""
        if self._hidden:
            return self.find(blob, kind) is not None
        for segment in self._segments:  # noqa: SIM110 - any() takes twice the time, for every chunk of every file
            if segment.holds(blob, kind):
                return True
        return False

    def __contains__(self, blob: BlobId) -> bool:
        return self.find(blob) is not None

    def __len__(self) -> int:
        """Number of entries: a blob stored in two packs counts twice."""
        return sum(map(len, self._segments))

    def packs(self) -> Iterator[PackId]:
        """Every pack once, ascending by id, hidden ones included."""
        return (pack for pack, _ in self.pack_sizes())

    def pack_sizes(self) -> Iterator[tuple[PackId, int]]:
        """(pack, bytes its file must have) for every pack once, ascending by id."""
        return self._once(heapq.merge(*(segment.packs() for segment in self._segments)))

    def pack_size(self, pack: PackId) -> int | None:
        """Bytes the pack's file must have; None when the pack is in no index."""
        listings = [size for segment in self._segments for size in segment.pack_sizes(pack)]
        if not listings:
            return None
        return listings[0] if len(listings) == 1 else pack_size_of(self.pack_blobs(pack))

    def pack_blobs(self, pack: PackId) -> list[PackedBlob]:
        """What the pack holds according to the index, in file order; empty when it is in no index."""
        listed = chain.from_iterable(segment.pack_blobs(pack) for segment in self._segments)
        return sorted(set(listed), key=lambda blob: (blob.offset, blob.id))

    def entries(self) -> Iterator[tuple[BlobId, BlobLocation]]:
        """Every entry, ascending by id, hidden packs included; a pack listed twice gives its blobs twice."""
        return heapq.merge(*(segment.entries() for segment in self._segments))

    @property
    def hidden(self) -> frozenset[PackId]:
        """Packs that look-ups pass over."""
        return self._hidden

    def close(self) -> None:
        """Give the maps back. The view is not used again."""
        segments, self._segments = self._segments, ()
        for segment in segments:
            segment.close()

    def _once(self, sizes: Iterable[tuple[PackId, int]]) -> Iterator[tuple[PackId, int]]:
        """Each pack once. The blobs of one that is listed several times are put together: old programs split packs."""
        for pack, group in groupby(sizes, key=itemgetter(0)):
            listings = [size for _, size in group]
            yield pack, listings[0] if len(listings) == 1 else pack_size_of(self.pack_blobs(pack))

    def _places(self, blob: BlobId, kind: BlobType | None) -> Iterator[BlobLocation]:
        hidden = self._hidden
        for segment in self._segments:
            for place in segment.locations(blob):
                if (kind is None or place.type is kind) and (not hidden or place.pack not in hidden):
                    yield place


class Index(IndexView):
    """The index of the main process, which grows while a run stores packs."""

    def __init__(
        self,
        segments: Iterable[Segment] = (),
        *,
        complete: bool = True,
        news: bool = False,
        save: Callable[[IndexId, Sequence[tuple[PackId, Sequence[PackedBlob]]]], Segment | None] | None = None,
        tidy: Callable[[Sequence[Segment]], Sequence[Segment]] = tuple,
        join: Callable[[Sequence[Segment], frozenset[IndexId]], Segment | None] | None = None,
    ) -> None:
        """``save`` makes a segment of one index file's content (None when the disk does not take it), ``tidy``
        merges segments when there are many, ``join`` makes one of several for index files that list the same; the
        loader provides all three."""
        super().__init__(segments)
        self.complete = complete
        self.news = news
        """Whether index files were found that this machine had not seen: others have stored something."""
        """False when an index file could not be read or the listing was doubtful: blobs may exist unknown to us."""
        self._save = save
        self._tidy = tidy
        self._join = join
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._delta: dict[BlobId, tuple[BlobLocation, ...]] = {}
        self._delta_packs: dict[PackId, tuple[PackedBlob, ...]] = {}

    @property
    def path(self) -> IndexHandle:
        """What to hand to ``IndexView.open`` in a worker process.

        Packs added since the last index file of this run are not in it.
        """
        return IndexHandle(tuple(segment.path for segment in self._segments), self._hidden)

    @property
    def index_ids(self) -> frozenset[IndexId]:
        """The index files on the server whose content is in the segments."""
        return frozenset[IndexId]().union(*(segment.index_ids for segment in self._segments))

    @property
    def settled(self) -> bool:
        """Whether ``index_ids`` list everything that is known here."""
        return not self._delta_packs

    def __len__(self) -> int:
        return super().__len__() + sum(map(len, list(self._delta_packs.values())))

    def add_pack(self, pack: PackId, blobs: Sequence[PackedBlob]) -> None:
        """Make a pack known that is on the server but in no index file yet."""
        with self._lock:
            if pack in self._delta_packs:
                return
            self._delta_packs[pack] = tuple(blobs)
            for blob, kind, offset, length, plain in blobs:
                place = BlobLocation(pack, kind, offset, length, plain)
                self._delta[blob] = (*self._delta.get(blob, ()), place)

    def commit(self, index: IndexId, packs: Sequence[tuple[PackId, Sequence[PackedBlob]]]) -> None:
        """Say that ``packs`` are now listed by this index file on the server."""
        with self._committing:
            segment = self._save(index, packs) if self._save else None
            if segment is None:
                return  # they stay in memory, which is right as well, only larger
            # New segments come first, then the table in memory shrinks: at no moment is a blob in neither.
            self._segments = tuple(self._tidy((*self._segments, segment)))
            self._forget_delta(packs)

    def files_replaced(self, old: frozenset[IndexId], new: frozenset[IndexId]) -> None:
        """Say that the ``new`` index files on the server list exactly what the ``old`` ones did.

        Without this, everything that lies in one segment with an old file would be read anew the next time.
        """
        with self._committing:
            concerned = [segment for segment in self._segments if segment.index_ids & old]
            known = frozenset[IndexId]().union(*(segment.index_ids for segment in concerned))
            if self._join is None or not old <= known:
                return
            joined = self._join(concerned, known - old | new)
            if joined is not None:
                self._segments = (*(s for s in self._segments if s not in concerned), joined)

    def adopt(self, other: Index) -> None:
        """Continue with the segments of a freshly loaded index, keeping what this run has added."""
        with self._committing:
            self._segments, self.complete, self.news = other._segments, other.complete, other.news
            with self._lock:
                listed = [
                    (pack, blobs) for pack, blobs in self._delta_packs.items() if other.pack_size(pack) is not None
                ]
            self._forget_delta(listed)

    def find(self, blob: BlobId, kind: BlobType | None = None) -> BlobLocation | None:
        return next(self._places(blob, kind), None) if blob in self._delta else super().find(blob, kind)

    def contains(self, blob: BlobId, kind: BlobType) -> bool:
        return (blob in self._delta and self.find(blob, kind) is not None) or super().contains(blob, kind)

    def added_blobs(self, kind: BlobType) -> list[BlobId]:
        """Blobs of this type that ``path`` leads to no pack of: those of packs that no index file lists yet."""
        with self._lock:
            return [
                blob
                for blob, places in self._delta.items()
                if any(place.type is kind and place.pack not in self._hidden for place in places)
            ]

    def hide_packs(self, packs: Iterable[PackId]) -> None:
        """Pass over these packs in look-ups from now on, because they are missing or damaged on the server.

        What they hold counts as not stored, so that a backup which meets it again stores it anew.
        """
        with self._lock:
            self._hidden = self._hidden.union(packs)

    def pack_sizes(self) -> Iterator[tuple[PackId, int]]:
        with self._lock:
            added = sorted((pack, pack_size_of(blobs)) for pack, blobs in self._delta_packs.items())
        return self._once(heapq.merge(super().pack_sizes(), added))

    def pack_size(self, pack: PackId) -> int | None:
        blobs = self._delta_packs.get(pack)
        return super().pack_size(pack) if blobs is None else pack_size_of(blobs)

    def pack_blobs(self, pack: PackId) -> list[PackedBlob]:
        blobs = self._delta_packs.get(pack)
        return super().pack_blobs(pack) if blobs is None else list(blobs)

    def entries(self) -> Iterator[tuple[BlobId, BlobLocation]]:
        with self._lock:
            added = sorted((blob, place) for blob, places in self._delta.items() for place in places)
        return heapq.merge(super().entries(), added)

    def _places(self, blob: BlobId, kind: BlobType | None) -> Iterator[BlobLocation]:
        for place in self._delta.get(blob, ()):
            if (kind is None or place.type is kind) and place.pack not in self._hidden:
                yield place
        yield from super()._places(blob, kind)

    def _forget_delta(self, packs: Iterable[tuple[PackId, Sequence[PackedBlob]]]) -> None:
        with self._lock:
            for pack, blobs in packs:
                if self._delta_packs.pop(pack, None) is None:
                    continue
                for blob in blobs:
                    left = tuple(place for place in self._delta.get(blob.id, ()) if place.pack != pack)
                    if left:
                        self._delta[blob.id] = left
                    else:
                        self._delta.pop(blob.id, None)
