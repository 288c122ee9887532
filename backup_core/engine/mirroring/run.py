"""Carrying out a mirror plan: fetch, verify, seal with the mirror's own key, send.

Every blob is authenticated, decompressed and hashed before it is sent; it is not compressed again. What cannot be read
keeps those snapshots from being copied that need it, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

from backup_core.clock import Clock
from backup_core.engine.mirroring.plan import MirrorPlan, Round, affected_by, left_out_problem, plan_mirror
from backup_core.engine.mirroring.summary import Copied, Meter, MirrorSummary
from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.errors import BackupError, BlobMissing, Corrupt, LockHeld, NotFound, ShortRead
from backup_core.format.ids import from_hex
from backup_core.format.layout import pack_name
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_reader import BlobOpener, Run, plan_runs
from backup_core.repository.blob_store import BlobStore
from backup_core.repository.pack_filler import PackFiller
from backup_core.repository.parallel import each
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity
from backup_core.types import BlobId, BlobLocation, BlobType, Buffer, PackId, TreeId

_AHEAD = 2
"""Parts of packs in memory that wait to be sent."""


def mirror(
    source: Repository,
    target: Repository,
    snapshots: Sequence[Snapshot],
    *,
    check: bool = False,
    dry_run: bool = False,
    clock: Clock,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> MirrorSummary:
    """Copy ``snapshots``, and what they need, from ``source`` to ``target``: plan, and unless it is a ``dry_run``, do.

    ``check``: look first whether all packs of the mirror are there with their right size (up to 256 requests), and copy
    again what is not. Whatever ends a run, running it again goes on from there. Damage in the source is in the summary.

    Raises ``ConfigError`` for a mirror of itself, ``LockHeld``, ``LockLost``, ``StorageError``, ``ListingUnproved``,
    ``IndexIncomplete``, ``Cancelled``.
    """
    meter = Meter(source, target, clock)
    problems: list[Problem] = []
    with source.lock_for_reading(problems=problems, cancel=cancel), _locked(target, dry_run, problems, cancel):
        source.load_index(progress, cancel)
        target.snapshots(cancel=cancel)
        target.load_index(progress, cancel)
        if not dry_run:
            target.uploader(cancel).finish()  # what an interrupted run of this machine had sent counts
        lost = _distrust(target, problems, cancel) if check else False
        plan = plan_mirror(source, target, snapshots, distrust=lost, progress=progress, cancel=cancel)
        if dry_run:
            return meter.foreseen(plan, problems)
        copied = _Copying(source, target, plan, progress, cancel).carry_out()
    if lost:
        problems += _take_off_lost_packs(target, progress, cancel)
    return meter.done(plan, problems, copied)


def _locked(
    target: Repository, dry_run: bool, problems: list[Problem], cancel: CancelToken
) -> AbstractContextManager[object]:
    return target.lock_for_reading(problems=problems, cancel=cancel) if dry_run else target.lock(cancel=cancel)


def _distrust(target: Repository, problems: list[Problem], cancel: CancelToken) -> bool:
    """Pass over packs of the mirror that are lost; whether there were any."""
    bad = target.check_packs(cancel=cancel)
    target.index.hide_packs(PackId(from_hex(problem.object_id)) for problem in bad)
    problems.extend(replace(problem, severity=Severity.WARNING) for problem in bad)
    return bool(bad)


def _take_off_lost_packs(target: Repository, progress: ProgressTracker, cancel: CancelToken) -> list[Problem]:
    """What lost packs held is stored again: take them off the index, or every validation would find them missing."""
    try:
        prune(target, PruneBounds(max_unused_share=None), progress=progress, cancel=cancel)
    except (BlobMissing, LockHeld) as error:
        told = f"lost packs are still in the index of the mirror at {target.backend.location}: {error}"
        return [Problem("lost-packs-listed", told)]
    return []


class _Fetched(NamedTuple):
    """A verified blob on its way."""

    id: BlobId
    content: Buffer | Corrupt
    """As ``form`` says, or why it cannot be had."""
    form: str
    """"box" (sealed, with the key that both repositories share), "payload" (compressed as it was) or "plain"."""
    uncompressed_length: int = 0


class _Copying:
    """One plan being carried out."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        plan: MirrorPlan,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._progress = progress
        self._cancel = cancel
        self._same_key = source.master_key == target.master_key
        self._copies = dict(plan.copies)
        self._bad: dict[BlobId, str] = {}
        self._done = Copied({}, {}, [], 0, 0)

    def carry_out(self) -> Copied:
        plan = self._plan
        self._progress.phase("mirror", files_total=len(plan.snapshots), bytes_total=plan.bytes)
        for part in plan.rounds:
            self._copy(part)
            self._save(part.snapshots)
        self._progress.phase("done", files_total=len(plan.snapshots), bytes_total=plan.bytes)
        return self._done

    # ---- blobs

    def _copy(self, part: Round) -> None:
        """Packs, then index: after this, all that the round's snapshots need is listed on the mirror."""
        if not part.blobs:
            return
        with self._target.uploader(self._cancel) as uploader:
            filler, store = PackFiller(self._target, uploader), self._target.blob_store(uploader)
            self._copy_data(part, filler, store)
            for tree in part.trees:
                self._cancel.check()
                self._copy_tree(tree, store)
            filler.flush()
            store.flush()
            totals = uploader.finish()
        self._done = self._done._replace(blobs=self._done.blobs + totals.blobs, packs=self._done.packs + totals.packs)

    def _copy_data(self, part: Round, filler: PackFiller, store: BlobStore) -> None:
        threads = self._source.backend.promises.parallel_requests
        for _, found in each(self._fetch, self._runs(part), threads=threads, ahead=_AHEAD, cancel=self._cancel):
            if isinstance(found, BackupError):
                raise found
            for blob in found:
                self._put(blob, filler, store)
            self._progress.advance(bytes_=sum(len(b.content) for b in found if not isinstance(b.content, Corrupt)))

    def _put(self, blob: _Fetched, filler: PackFiller, store: BlobStore) -> None:
        if isinstance(blob.content, Corrupt):
            self._bad[blob.id] = str(blob.content)
        elif blob.form == "box":
            filler.add_box(blob.id, BlobType.DATA, blob.content, blob.uncompressed_length)
        elif blob.form == "payload":
            filler.add_payload(blob.id, BlobType.DATA, blob.content, blob.uncompressed_length)
        else:
            store.save_blob(BlobType.DATA, blob.content)

    def _copy_tree(self, tree: TreeId, store: BlobStore) -> None:
        try:
            store.save_tree(self._source.reader.tree_text(tree))
        except DAMAGE as error:
            self._bad[tree] = str(error)

    def _runs(self, part: Round) -> Iterator[tuple[PackId, Run]]:
        """Parts of packs to fetch; what lies between wanted blobs is fetched along where that saves a request."""
        index = self._source.index
        for pack, blobs in part.data.items():
            wanted = set(blobs)
            places = {
                blob.id: BlobLocation(pack, *blob[1:])
                for blob in index.pack_blobs(pack)
                if blob.id in wanted and blob.type is BlobType.DATA
            }
            for run in plan_runs(list(places.items())):
                yield pack, run

    def _fetch(self, item: tuple[PackId, Run]) -> list[_Fetched]:
        """The blobs of one part of a pack, verified; a damaged one is looked for in other packs."""
        pack, run = item
        try:
            data = memoryview(self._source.backend.get(pack_name(pack), offset=run.offset, length=run.length))
        except (NotFound, ShortRead):
            return [self._elsewhere(blob, None) for blob, _ in run.blobs]
        opener = BlobOpener(self._source.sealer())
        found = []
        for blob, place in run.blobs:
            box = data[place.offset - run.offset : place.offset - run.offset + place.length]
            try:
                payload, _ = opener.unseal(blob, place, box)
            except Corrupt as error:
                found.append(self._elsewhere(blob, error))
                continue
            content, form = (box, "box") if self._same_key else (payload, "payload")
            found.append(_Fetched(blob, content, form, place.uncompressed_length))
        return found

    def _elsewhere(self, blob: BlobId, fault: Corrupt | None) -> _Fetched:
        """A blob that could not be had along with its neighbours: asked for alone, from every pack that has it."""
        try:
            return _Fetched(blob, self._source.read_blob(blob, BlobType.DATA), "plain")
        except Corrupt as error:
            return _Fetched(blob, fault or error, "plain")

    # ---- snapshots

    def _save(self, snapshots: Sequence[Snapshot]) -> None:
        """Write the copies of a round's snapshots, but for those that need what could not be copied."""
        damaged = affected_by(self._source, snapshots, self._bad, cancel=self._cancel)
        for snapshot in snapshots:
            if snapshot.id in damaged:
                self._done.left_out[snapshot.id] = damaged[snapshot.id]
                self._done.problems.append(left_out_problem(snapshot, damaged[snapshot.id]))
                continue
            self._cancel.check()
            parent = None if snapshot.parent is None else self._copies.get(snapshot.parent)
            copy = replace(snapshot, parent=parent, original=snapshot.original or snapshot.id)
            saved = self._target.save_snapshot(copy)
            self._copies[snapshot.id] = self._done.copies[snapshot.id] = saved
            self._progress.advance(files=1)
