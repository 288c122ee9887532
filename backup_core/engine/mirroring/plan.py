"""Deciding what a mirror lacks, before anything is sent: an immutable plan, which is also the dry run.

A snapshot of the mirror is a copy of one here when both name the same original and the same tree. What the copies need
is found by walking their trees (from the local cache, mostly); what the mirror's index holds already is left out.

The work comes in rounds of whole snapshots, oldest first: at the end of each, the packs, then the index, then the
snapshots of that round are on the mirror. So an interrupted run has copied all snapshots of the rounds it finished, and
the next one finds in the mirror's index what it had sent of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from typing import TypeAlias

from backup_core.deferred import dataclass
from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.errors import ConfigError
from backup_core.format.ids import to_hex
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity
from backup_core.types import BlobId, BlobType, PackId, SnapshotId, TreeId

ROUND_BYTES = 512 * 1024 * 1024
"""Stored bytes after which the snapshots copied so far are written."""

Identity: TypeAlias = tuple[SnapshotId, TreeId]


def identity_of(snapshot: Snapshot) -> Identity:
    """What a snapshot and its copies have in common."""
    return snapshot.original or snapshot.id, snapshot.tree


@dataclass(frozen=True, slots=True)
class Round:
    """What is copied before the next snapshots can be written."""

    snapshots: tuple[Snapshot, ...]
    """Those of the first repository that are whole on the mirror after this, oldest first."""
    trees: tuple[TreeId, ...] = field(repr=False)
    data: Mapping[PackId, Sequence[BlobId]] = field(repr=False)
    """Blobs of files, by the pack of the first repository that has them."""
    bytes: int
    """Stored bytes of all that."""

    @property
    def blobs(self) -> int:
        """Trees and blobs of files."""
        return len(self.trees) + sum(map(len, self.data.values()))


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """What a mirror run will do. Holds for the two repositories as they were when it was made."""

    rounds: tuple[Round, ...]
    present: tuple[Snapshot, ...]
    """Snapshots that the mirror has already."""
    left_out: Mapping[SnapshotId, str]
    """Snapshots that cannot be copied whole, and why."""
    copies: Mapping[SnapshotId, SnapshotId]
    """Snapshots of the first repository -> their copies on the mirror."""
    problems: tuple[Problem, ...]
    requests: int
    """Requests to both servers, estimated."""

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those that will be copied, oldest first."""
        return tuple(snapshot for part in self.rounds for snapshot in part.snapshots)

    @property
    def blobs(self) -> int:
        """Blobs to be sent."""
        return sum(part.blobs for part in self.rounds)

    @property
    def bytes(self) -> int:
        """Stored bytes to be sent."""
        return sum(part.bytes for part in self.rounds)


def plan_mirror(
    source: Repository,
    target: Repository,
    snapshots: Sequence[Snapshot],
    *,
    distrust: bool = False,
    round_bytes: int = ROUND_BYTES,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> MirrorPlan:
    """What of ``snapshots`` the ``target`` lacks. Called with both locked and both indexes loaded.

    ``distrust``: what snapshots need that the mirror has already is looked at as well, because packs of the mirror are
    known to be lost. Raises ``ConfigError`` when both are the same repository, ``ListingUnproved`` when nobody knows
    which snapshots the mirror has.
    """
    if source.id == target.id:
        raise ConfigError(
            f"{target.backend.location} holds the same repository as {source.backend.location} (or a copy made by "
            "copying its files). A mirror is a repository of its own: choose another folder"
        )
    found = {identity_of(copy): copy.id for copy in target.snapshots(cancel=cancel)}
    ordered = sorted(snapshots, key=lambda snapshot: snapshot.time)
    copies = {snapshot.id: found[identity_of(snapshot)] for snapshot in ordered if identity_of(snapshot) in found}
    left_out: dict[SnapshotId, str] = {}
    progress.phase("plan")
    while True:
        survey = _Survey(source, target, round_bytes=round_bytes, progress=progress, cancel=cancel)
        for snapshot in ordered:
            if snapshot.id in left_out or (snapshot.id in copies and not distrust):
                continue
            survey.add(snapshot, save=snapshot.id not in copies)
        affected = affected_by(source, (s for s in ordered if s.id not in left_out), survey.bad, cancel=cancel)
        left_out |= affected
        if not affected:
            break
    rounds = survey.finish()
    present = tuple(snapshot for snapshot in ordered if snapshot.id in copies)
    return MirrorPlan(
        rounds=rounds,
        present=present,
        left_out=left_out,
        copies=copies,
        problems=tuple(left_out_problem(s, left_out[s.id]) for s in ordered if s.id in left_out),
        requests=_requests(rounds, target),
    )


class _Survey:
    """Walks the trees of one snapshot after the other and notes what the mirror lacks of them."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        *,
        round_bytes: int,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self.bad: dict[BlobId, str] = {}
        """Trees that cannot be read, and blobs of files that are in no index."""
        self._source = source
        self._target = target
        self._round_bytes = round_bytes
        self._progress = progress
        self._cancel = cancel
        self._seen_trees: set[TreeId] = set()
        self._planned: set[BlobId] = set()
        self._rounds: list[Round] = []
        self._start_round()

    def add(self, snapshot: Snapshot, *, save: bool) -> None:
        """Walk a snapshot. ``save``: it is to be written when its round is done."""
        pending = [snapshot.tree]
        while pending:
            self._cancel.check()
            tree = pending.pop()
            if tree in self._seen_trees:
                continue
            self._seen_trees.add(tree)
            nodes = self._read(tree)
            for node in nodes:
                if node.subtree is not None:
                    pending.append(node.subtree)
                for blob in node.content or ():
                    self._want(blob)
            self._progress.advance(files=len(nodes))
        if save:
            self._snapshots.append(snapshot)
        if self._bytes >= self._round_bytes:
            self._end_round()

    def finish(self) -> tuple[Round, ...]:
        """All rounds."""
        self._end_round()
        return tuple(self._rounds)

    def _read(self, tree: TreeId) -> list[Node]:
        try:
            nodes = self._source.read_tree(tree, keep=False)
        except DAMAGE as error:
            self.bad[tree] = str(error)
            return []
        if not self._target.index.contains(tree, BlobType.TREE):
            place = self._source.index.find(tree, BlobType.TREE)
            self._trees.append(tree)
            self._bytes += place.length if place is not None else 0
        return nodes

    def _want(self, blob: BlobId) -> None:
        if blob in self._planned or self._target.index.contains(blob, BlobType.DATA):
            return
        place = self._source.index.find(blob, BlobType.DATA)
        if place is None:
            self.bad[blob] = f"the blob {to_hex(blob)[:16]} is in no index"
            return
        self._planned.add(blob)
        self._data.setdefault(place.pack, []).append(blob)
        self._bytes += place.length

    def _start_round(self) -> None:
        self._snapshots: list[Snapshot] = []
        self._trees: list[TreeId] = []
        self._data: dict[PackId, list[BlobId]] = {}
        self._bytes = 0

    def _end_round(self) -> None:
        if self._snapshots or self._trees or self._data:
            self._rounds.append(Round(tuple(self._snapshots), tuple(self._trees), self._data, self._bytes))
        self._start_round()


def affected_by(
    repository: Repository, snapshots: Iterable[Snapshot], bad: Mapping[BlobId, str], *, cancel: CancelToken
) -> dict[SnapshotId, str]:
    """Those of ``snapshots`` that need one of the ``bad`` blobs, and the reason given for it."""
    if not bad:
        return {}
    whole: set[TreeId] = set()
    return {
        snapshot.id: bad[blob]
        for snapshot in snapshots
        if (blob := _first_bad(repository, snapshot.tree, bad.keys(), whole, cancel)) is not None
    }


def _first_bad(
    repository: Repository, root: TreeId, bad: AbstractSet[BlobId], whole: set[TreeId], cancel: CancelToken
) -> BlobId | None:
    """A bad blob that the tree needs, None when there is none; trees known to be ``whole`` are not read again."""
    visited: set[TreeId] = set()
    pending = [root]
    while pending:
        cancel.check()
        tree = pending.pop()
        if tree in bad:
            return tree
        if tree in visited or tree in whole:
            continue
        visited.add(tree)
        for blob, is_tree in _needs(repository, tree):
            if blob in bad:
                return blob
            if is_tree:
                pending.append(TreeId(blob))
    whole |= visited
    return None


def _needs(repository: Repository, tree: TreeId) -> Iterator[tuple[BlobId, bool]]:
    """(blob, whether it is a tree) for all that a directory refers to."""
    for node in repository.read_tree(tree, keep=False):
        if node.subtree is not None:
            yield node.subtree, True
        for blob in node.content or ():
            yield blob, False


def left_out_problem(snapshot: Snapshot, reason: str) -> Problem:
    """Says that a snapshot was not copied."""
    told = f"the snapshot {snapshot.id[:8]} of {snapshot.time:%Y-%m-%d %H:%M} was not copied, it is damaged: {reason}"
    return Problem("not-mirrored", told, object_id=snapshot.id, severity=Severity.ERROR)


def _requests(rounds: Sequence[Round], target: Repository) -> int:
    fetched = sum(len(part.data) for part in rounds)
    # At the end of a round come two packs that are not full, an index file, and the snapshots.
    sent = sum(-(-part.bytes // target.pack_size) + 2 + len(part.snapshots) for part in rounds)
    return fetched + sent
