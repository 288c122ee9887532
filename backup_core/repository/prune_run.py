"""Giving back the room of data that no backup needs any more.

**Order.** What is needed of a pack is copied to new packs, these are listed by new index files, and only then old
index files, and after them old packs, are removed. So at every moment the index files on the server list every blob
that is needed, in a pack that is there. An interrupted run leaves blobs stored twice or packs in no index; both are
what the next run tidies up first. The work goes on in rounds, so that little room is needed for the copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from backup_core.deferred import dataclass
from backup_core.errors import (
    BackupError,
    Corrupt,
    IndexIncomplete,
    ListingUnproved,
    NotFound,
    QuotaExceeded,
    RepositoryError,
    ShortRead,
)
from backup_core.format.ids import to_hex
from backup_core.format.layout import FileKind, pack_name
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository import reserve
from backup_core.repository.blob_reader import BlobOpener, Run, plan_runs
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.index_rewrite import blobs_of, merge_small, take_off_index
from backup_core.repository.index_writing import split_for_index, write_index_file
from backup_core.repository.pack_filler import PackFiller
from backup_core.repository.parallel import each
from backup_core.repository.prune_plan import PackUse, PruneBounds, PrunePlan, rounds_of
from backup_core.repository.prune_survey import index_listing, list_packs, refuse_hidden, survey
from backup_core.repository.repository import Repository
from backup_core.types import BlobId, BlobLocation, Buffer, IndexId, PackedBlob, PackId

ROUND_BYTES = 512 * 1024 * 1024
"""Bytes copied before old packs are removed: about the room that pruning needs on the server meanwhile."""

_AHEAD = 2
"""Parts of packs in memory that wait to be copied."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was planned, and what was done."""

    plan: PrunePlan
    dry_run: bool
    packs_written: int = 0
    packs_removed: int = 0
    bytes_written: int = 0
    """Bytes of the new packs."""
    index_files_written: int = 0
    index_files_removed: int = 0


def prune(
    repository: Repository,
    bounds: PruneBounds | None = None,
    *,
    dry_run: bool = False,
    known: Collection[str] = (),
    progress: ProgressTracker | None = None,
    cancel: CancelToken | None = None,
) -> PruneReport:
    """Plan, and unless it is a ``dry_run`` do: under an exclusive lock, with nothing removed that is not certainly
    unneeded. ``known`` are snapshots that should be there: one that a listing does not show is asked for by its name.

    Raises ``LockHeld`` when somebody uses the repository; ``ListingUnproved``, ``IndexIncomplete``, ``BlobMissing``
    or ``Corrupt`` when it is not certain what is needed; ``UnsupportedVersion`` for version 1.
    """
    cancel = cancel or CancelToken()
    bounds = bounds or PruneBounds()
    tracker = progress or ProgressTracker(no_progress, clock=repository.clock)
    remembered = {kind: repository.cache.ids(kind) for kind in (FileKind.SNAPSHOT, FileKind.INDEX)}
    remembered[FileKind.SNAPSHOT] += known
    # Before the lock: whatever a run that still lived then was storing is in the index once we have the lock.
    listed = list_packs(repository, cancel=cancel)
    if dry_run:
        with repository.lock_for_reading(cancel=cancel):
            plan = survey(repository, listed, bounds, progress=tracker, cancel=cancel)
            _refuse_hidden(repository, remembered, plan)
            return PruneReport(plan, dry_run=True)
    with repository.lock(exclusive=True, cancel=cancel) as held:
        repository.snapshots(cancel=cancel)
        repository.load_index(tracker, cancel)
        # What an interrupted prune of this machine had copied counts; on a full server it goes instead.
        with suppress(QuotaExceeded):
            repository.uploader(cancel).finish()
        plan = survey(repository, listed, bounds, progress=tracker, cancel=cancel)
        _refuse_hidden(repository, remembered, plan)
        return run_plan(repository, plan, held, progress=tracker, cancel=cancel)


def _refuse_hidden(repository: Repository, remembered: Mapping[FileKind, Iterable[str]], plan: PrunePlan) -> None:
    refuse_hidden(repository, FileKind.SNAPSHOT, remembered[FileKind.SNAPSHOT], plan.snapshots)
    refuse_hidden(repository, FileKind.INDEX, remembered[FileKind.INDEX], plan.indexes)


def run_plan(
    repository: Repository, plan: PrunePlan, held: HeldLock, *, progress: ProgressTracker, cancel: CancelToken
) -> PruneReport:
    """Carry a plan out, once. Raises ``RepositoryError`` when the repository is not the one that was planned for."""
    if not held.exclusive:
        raise RepositoryError("to remove packs, an exclusive lock on the repository is needed")
    present = repository.files.list(FileKind.INDEX).files.keys()
    snapshots = repository.files.list(FileKind.SNAPSHOT).files.keys()
    if present != plan.indexes or snapshots != plan.snapshots:
        raise RepositoryError("the repository has changed since this was planned, so nothing is removed. Plan again")
    return _Run(repository, plan, held, progress, cancel).carry_out()


class _Copied(NamedTuple):
    """A verified box."""

    blob: PackedBlob
    box: Buffer


class _Run:
    """One plan being carried out."""

    def __init__(
        self, repository: Repository, plan: PrunePlan, held: HeldLock, progress: ProgressTracker, cancel: CancelToken
    ) -> None:
        self._repository = repository
        self._plan = plan
        self._held = held
        self._progress = progress
        self._cancel = cancel
        self._listing: dict[IndexId, list[PackId]] = {}
        self._there: frozenset[str] = frozenset(plan.indexes)
        self._counts: Counter[str] = Counter()

    def carry_out(self) -> PruneReport:
        plan = self._plan
        # Orphans first: they need no new index, so they make room for one on a server that is full.
        self._delete_packs(list(plan.orphans))
        spares = self._spares()
        self._remove([use.pack for use in plan.delete if use.pack not in spares], gone=plan.lost)
        for part in rounds_of(plan.repack, ROUND_BYTES):
            self._copy(part)
            self._remove([use.pack for use in part])
        self._remove(sorted(spares))
        with suppress(QuotaExceeded):  # on a full server they stay as they are
            merged = merge_small(self._repository, self._held, cancel=self._cancel)
            self._counts["index_files_written"] += len(merged.written)
            self._counts["index_files_removed"] += len(merged.removed)
        return PruneReport(plan, dry_run=False, **self._counts)

    # ---- copying

    def _copy(self, part: Sequence[PackUse]) -> None:
        with self._repository.uploader(self._cancel) as uploader:
            filler = PackFiller(self._repository, uploader)
            for blob, box in self._boxes(part):
                filler.add_box(blob.id, blob.type, box, blob.uncompressed_length)
                self._progress.advance(bytes_=len(box))
            filler.flush()
            totals = uploader.finish()
        self._counts["packs_written"] += totals.packs
        self._counts["bytes_written"] += totals.pack_bytes
        self._counts["index_files_written"] += totals.index_files

    def _boxes(self, part: Sequence[PackUse]) -> Iterator[_Copied]:
        threads = self._repository.backend.promises.parallel_requests
        for _, boxes in each(self._fetch, self._runs(part), threads=threads, ahead=_AHEAD, cancel=self._cancel):
            if isinstance(boxes, BackupError):
                raise boxes
            yield from boxes

    def _runs(self, part: Sequence[PackUse]) -> Iterator[tuple[PackId, Run]]:
        for use in part:
            blobs = self._plan.usage.wanted(use.pack, self._repository.index.pack_blobs(use.pack))
            if len(blobs) != use.needed_blobs:
                raise IndexIncomplete(
                    f"of the pack {to_hex(use.pack)[:16]} {use.needed_blobs} blobs are needed, and the index knows "
                    f"{len(blobs)} of them now. No more is removed: do not trust this server's listings"
                )
            places = [(blob.id, BlobLocation(use.pack, *blob[1:])) for blob in blobs]
            for run in plan_runs(places):
                yield use.pack, run

    def _fetch(self, item: tuple[PackId, Run]) -> list[_Copied]:
        """The boxes of one part of a pack, each opened to be sure that it holds what its name says."""
        pack, run = item
        data = memoryview(self._repository.backend.get(pack_name(pack), offset=run.offset, length=run.length))
        opener = BlobOpener(self._repository.sealer())
        found = []
        for blob, place in run.blobs:
            start = place.offset - run.offset
            home: tuple[BlobLocation, Buffer] = place, data[start : start + place.length]
            try:
                opener.open(blob, *home)
            except Corrupt as error:
                home = self._good_copy(blob, place, error)
            found.append(_Copied(PackedBlob(blob, *home[0][1:]), home[1]))
        return found

    def _good_copy(self, blob: BlobId, damaged: BlobLocation, error: Corrupt) -> tuple[BlobLocation, Buffer]:
        """A blob from another pack than the one in which it is damaged. Raises ``error`` when there is none."""
        backend, opener = self._repository.backend, BlobOpener(self._repository.sealer())
        for place in self._repository.index.find_all(blob, damaged.type):
            if place.pack != damaged.pack:
                with suppress(Corrupt, NotFound, ShortRead):
                    box = backend.get(pack_name(place.pack), offset=place.offset, length=place.length)
                    opener.open(blob, place, box)
                    return place, box
        raise error

    def _spares(self) -> frozenset[PackId]:
        """Packs to be deleted that hold another copy of something that is to be copied out of a pack not read yet."""
        homes, sources = self._plan.usage.homes, {use.pack for use in self._plan.repack}
        if not sources.intersection(homes.values()):
            return frozenset()
        index = self._repository.index
        return frozenset(
            use.pack
            for use in self._plan.delete
            if any(homes.get((blob.type, blob.id)) in sources for blob in index.pack_blobs(use.pack))
        )

    # ---- removing

    def _remove(self, packs: Sequence[PackId], *, gone: Sequence[PackId] = ()) -> None:
        """Take packs off the index, then off the server. All that is needed of them is listed elsewhere by now."""
        if not packs and not gone:
            return
        try:
            self._rewrite_index({*packs, *gone})
        except QuotaExceeded:
            self._remove_in_steps({*packs, *gone}, frozenset(packs))
        else:
            self._delete_packs(packs)

    def _remove_in_steps(self, removed: Collection[PackId], present: Collection[PackId]) -> None:
        """The same on a full server: one index file at a time, those first that need the least room for their
        successor, and after each the packs that are in no index any more. So each step makes room for the next.

        Raises ``QuotaExceeded`` when there is not even room for the first.
        """
        repository, left = self._repository, set(present)
        reserve.spend(repository.backend)
        self._look_at_index()
        stay = {index: [p for p in packs if p not in removed] for index, packs in self._listing.items()}
        stale = [index for index, packs in self._listing.items() if len(stay[index]) < len(packs)]
        blobs = {index: sum(len(repository.index.pack_blobs(pack)) for pack in stay[index]) for index in stale}
        for index in (None, *sorted(stale, key=blobs.__getitem__)):
            if index is not None:
                self._replace_index(index, stay[index])
                del self._listing[index]
            listed = {pack for packs in self._listing.values() for pack in packs}
            free = sorted(left - listed)
            self._delete_packs(free)
            left.difference_update(free)
        self._load_index()

    def _replace_index(self, index: IndexId, packs: Sequence[PackId]) -> None:
        """Put an index file of these packs in place of one that lists them and others."""
        files = self._repository.files
        for part in split_for_index((pack, blobs_of(self._repository, pack)) for pack in packs):
            self._cancel.check()
            write_index_file(self._repository.backend, files, self._held, part)
            self._counts["index_files_written"] += 1
        self._held.ensure_held()
        files.delete(FileKind.INDEX, index)
        self._there = self._there.difference({index})
        self._counts["index_files_removed"] += 1

    def _look_at_index(self) -> None:
        """Which index files there are. One that is hidden would go on listing packs that are removed, and later backups
        would rely on those."""
        self._listing = index_listing(self._repository, self._listing, cancel=self._cancel)
        self._refuse_hidden(self._listing)

    def _refuse_hidden(self, shown: Iterable[str]) -> None:
        if hidden := self._there.difference(shown):
            raise ListingUnproved(
                f"the listing of index/ at {self._repository.backend.location} no longer shows {min(hidden)[:8]}, "
                "which nobody removed. No more is removed: do not trust this server's listings"
            )

    def _rewrite_index(self, removed: Collection[PackId]) -> None:
        """Replace the index files that list any of these packs, or a pack that others list as well."""
        repository = self._repository
        self._look_at_index()
        done = take_off_index(repository, self._held, removed, self._listing, cancel=self._cancel)
        self._there = self._there.difference(done.removed).union(done.written)
        self._counts["index_files_written"] += len(done.written)
        self._counts["index_files_removed"] += len(done.removed)
        self._load_index()

    def _load_index(self) -> None:
        """Look again, so that this process does not take what it removes for stored."""
        self._repository.load_index(cancel=self._cancel)
        self._refuse_hidden(self._repository.index.index_ids)

    def _delete_packs(self, packs: Sequence[PackId]) -> None:
        repository = self._repository

        def delete(pack: PackId) -> None:
            self._held.ensure_held()
            repository.backend.delete(pack_name(pack))
            repository.cache.remove(FileKind.PACK, to_hex(pack))

        threads = repository.backend.promises.parallel_requests
        for _, failure in each(delete, packs, threads=threads, cancel=self._cancel):
            if failure is not None:
                raise failure
            self._counts["packs_removed"] += 1
