"""Deciding what becomes of every pack: kept, removed, or copied in part because too much of it is no longer needed.

Nothing here asks a server. ``prune_survey`` finds out what is needed and what is there, ``prune_run`` carries a plan
out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeAlias

from backup_core.deferred import dataclass
from backup_core.errors import BlobMissing, ConfigError
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId


class Ids(Protocol):
    """Blob ids; a set, or what takes less memory."""

    def __contains__(self, blob: object) -> bool:
        """Whether an id is among them."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


Needed: TypeAlias = Mapping[BlobType, Ids]
"""Every blob that some snapshot refers to, by type."""


@dataclass(frozen=True, slots=True)
class PruneBounds:
    """How thorough pruning is. Bounds that are None do not count; of several, the strictest one does."""

    max_unused_share: float | None = 0.05
    """Share (0 to 1) that data no longer needed may have of what stays on the server."""
    max_unused_bytes: int | None = None
    max_repack_bytes: int | None = None
    """Most bytes to copy out of packs that are needed in part; the rest waits for the next time."""
    max_requests: int | None = None
    """Most requests for copying, rewriting the index and deleting; what that leaves undone waits for the next time."""

    def __post_init__(self) -> None:
        problems = []
        if self.max_unused_share is not None and not 0 <= self.max_unused_share <= 1:
            problems.append(f"the share of unused data must be between 0 and 100 %, not {self.max_unused_share:.0%}")
        for name in ("max_unused_bytes", "max_repack_bytes", "max_requests"):
            if (getattr(self, name) or 0) < 0:
                problems.append(f"{name} must not be negative")
        if problems:
            raise ConfigError("these bounds cannot be used for pruning", problems=problems)

    def allowed_unused(self, needed: int) -> float:
        """Bytes of unneeded data that may stay beside ``needed`` bytes."""
        limits = [float("inf") if self.max_unused_bytes is None else self.max_unused_bytes]
        if self.max_unused_share is not None and self.max_unused_share < 1:
            limits.append(self.max_unused_share / (1 - self.max_unused_share) * needed)
        return min(limits)


class PackUse(NamedTuple):
    """What of a pack is needed."""

    pack: PackId
    size: int
    """Bytes of its file on the server."""
    box_bytes: int
    """Bytes of all its sealed blobs."""
    needed_bytes: int
    """Bytes of the sealed blobs that must be had from this pack."""
    needed_blobs: int

    @property
    def unused_bytes(self) -> int:
        """Bytes of the sealed blobs that nobody needs, or that are taken from another pack."""
        return self.box_bytes - self.needed_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What is needed, and from which pack it is had."""

    packs: tuple[PackUse, ...]
    """Ascending by id; without those that are not on the server."""
    needed: Needed
    homes: Mapping[tuple[BlobType, BlobId], PackId]
    """For needed blobs that lie in several packs: the one that keeps them."""

    def wanted(self, pack: PackId, blobs: Iterable[PackedBlob]) -> list[PackedBlob]:
        """Those of the pack's blobs that must be had from it, each once."""
        found: dict[tuple[BlobType, BlobId], PackedBlob] = {}
        for blob in blobs:
            key = (blob.type, blob.id)
            if blob.id in self.needed[blob.type] and self.homes.get(key, pack) == pack:
                found.setdefault(key, blob)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What to do with every pack. Holds for the snapshots and index files it was made from, and for no others."""

    usage: Usage = field(repr=False)
    keep: tuple[PackUse, ...]
    repack: tuple[PackUse, ...]
    """What is needed of these is copied to new packs."""
    delete: tuple[PackUse, ...]
    """In an index, and nothing of them is needed."""
    orphans: Mapping[PackId, int] = field(repr=False)
    """Packs in no index, left by interrupted runs, and their bytes."""
    lost: tuple[PackId, ...]
    """In an index, not on the server, and not needed: only taken off the index."""
    snapshots: frozenset[str] = field(repr=False)
    indexes: frozenset[IndexId] = field(repr=False)
    requests: Mapping[str, int]
    """Estimated requests for each part of the work: copy, index, delete."""

    @property
    def bytes_copied(self) -> int:
        """Bytes to be read and stored again."""
        return sum(use.needed_bytes for use in self.repack)

    @property
    def bytes_freed(self) -> int:
        """Bytes that the server has back at the end."""
        removed = sum(use.size for use in self.delete) + sum(self.orphans.values())
        return removed + sum(use.unused_bytes for use in self.repack)

    @property
    def bytes_unused_after(self) -> int:
        """Bytes no longer needed that stay in packs that are kept."""
        return sum(use.unused_bytes for use in self.keep)

    @property
    def nothing_to_do(self) -> bool:
        """True when every pack stays as it is."""
        return not (self.repack or self.delete or self.orphans or self.lost)


def measure(
    entries: Iterable[tuple[BlobId, BlobLocation]], needed: Needed, sizes: Mapping[PackId, int | None]
) -> Usage:
    """What of each pack is needed. ``entries`` come ascending by id, ``sizes`` are those on the server of whole packs
    (None: the pack is there, but not whole; nothing may be taken from it).

    A needed blob that lies in several packs is had from the one of which the greatest part is needed, so that the
    others can go. Raises ``BlobMissing`` when a needed blob is in no whole pack.
    """
    totals: dict[PackId, int] = defaultdict(int)
    needs: dict[PackId, list[int]] = defaultdict(lambda: [0, 0])
    several: list[tuple[BlobType, BlobId, dict[PackId, BlobLocation]]] = []
    weight: dict[PackId, int] = defaultdict(int)
    found = 0
    for blob, group in groupby(entries, key=itemgetter(0)):
        by_type: dict[BlobType, dict[PackId, BlobLocation]] = {}
        for place in {(p.pack, p.offset): p for _, p in group}.values():
            totals[place.pack] += place.length
            if blob in needed[place.type] and sizes.get(place.pack) is not None:
                by_type.setdefault(place.type, {}).setdefault(place.pack, place)
        for kind, places in by_type.items():
            found += 1
            for pack, place in places.items():
                weight[pack] += place.length
            if len(places) > 1:
                several.append((kind, blob, places))
            else:
                _count(needs, next(iter(places.values())))
    if found < sum(map(len, needed.values())):
        raise BlobMissing(
            f"{sum(map(len, needed.values())) - found} blobs that backups need are in no whole pack, so nothing is "
            "removed. Validate the backups; a full backup stores again what the source still has"
        )
    homes: dict[tuple[BlobType, BlobId], PackId] = {}
    for kind, blob, places in several:
        home = max(places, key=lambda pack: (weight[pack] / max(1, totals[pack]), pack))
        homes[kind, blob] = home
        _count(needs, places[home])
    packs = (PackUse(pack, size or 0, totals[pack], *needs.get(pack, (0, 0))) for pack, size in sizes.items())
    return Usage(tuple(sorted(packs)), needed, homes)


def _count(needs: dict[PackId, list[int]], place: BlobLocation) -> None:
    entry = needs[place.pack]
    entry[0] += place.length
    entry[1] += 1


def make_plan(
    usage: Usage,
    bounds: PruneBounds,
    *,
    pack_size: int,
    orphans: Mapping[PackId, int],
    lost: Sequence[PackId],
    snapshots: AbstractSet[str],
    indexes: Mapping[IndexId, Sequence[PackId]],
) -> PrunePlan:
    """The plan that keeps to the bounds with the least copying: packs with the greatest unneeded part go first."""
    unneeded = tuple(use for use in usage.packs if not use.needed_blobs)
    repack = _choose_repack(usage, bounds)
    if bounds.max_requests is not None:
        purse = _Purse(bounds.max_requests, indexes, pack_size)
        lost = [pack for pack in lost if purse.pays_for(pack)]
        orphans = {pack: size for pack, size in orphans.items() if purse.pays_for(None, requests=1)}
        unneeded = tuple(use for use in _large_first(unneeded) if purse.pays_for(use.pack, requests=1))
        repack = tuple(use for use in repack if purse.pays_for(use.pack, requests=2, copied=use.needed_bytes))
    chosen = {use.pack for use in (*repack, *unneeded)}
    keep = tuple(use for use in usage.packs if use.pack not in chosen)
    removed = chosen.union(lost)
    rewritten = sum(not removed.isdisjoint(packs) for packs in indexes.values())
    requests = {
        "copy": len(repack) + -(-sum(use.needed_bytes for use in repack) // pack_size),
        "index": 2 * rewritten,
        "delete": len(repack) + len(unneeded) + len(orphans),
    }
    return PrunePlan(
        usage,
        keep,
        repack,
        unneeded,
        dict(orphans),
        tuple(lost),
        frozenset(snapshots),
        frozenset(indexes),
        requests,
    )


class _Purse:
    """Requests that may still be spent."""

    def __init__(self, requests: int, indexes: Mapping[IndexId, Sequence[PackId]], pack_size: int) -> None:
        self._left = requests
        self._pack_size = pack_size
        self._listed_by: dict[PackId, list[IndexId]] = defaultdict(list)
        for index, packs in indexes.items():
            for pack in packs:
                self._listed_by[pack].append(index)
        self._rewritten: set[IndexId] = set()

    def pays_for(self, pack: PackId | None, *, requests: int = 0, copied: int = 0) -> bool:
        """Spend what removing a pack takes - its own requests, those for what is copied of it, and two for each index
        file that must be written anew for the first time - if there is enough."""
        indexes = set() if pack is None else {*self._listed_by[pack]} - self._rewritten
        cost = requests + -(-copied // self._pack_size) + 2 * len(indexes)
        if cost > self._left:
            return False
        self._left -= cost
        self._rewritten |= indexes
        return True


def _large_first(packs: Iterable[PackUse]) -> list[PackUse]:
    return sorted(packs, key=lambda use: (-use.size, use.pack))


def _choose_repack(usage: Usage, bounds: PruneBounds) -> tuple[PackUse, ...]:
    partial = [use for use in usage.packs if use.needed_blobs and use.unused_bytes]
    allowed = bounds.allowed_unused(sum(use.needed_bytes for use in usage.packs))
    unused = sum(use.unused_bytes for use in partial)
    budget = float("inf") if bounds.max_repack_bytes is None else bounds.max_repack_bytes
    chosen: list[PackUse] = []
    for use in sorted(partial, key=lambda use: (use.needed_bytes / use.box_bytes, use.pack)):
        if unused <= allowed:
            break
        if use.needed_bytes <= budget:
            chosen.append(use)
            budget -= use.needed_bytes
            unused -= use.unused_bytes
    return tuple(chosen)


def rounds_of(packs: Iterable[PackUse], limit: int) -> Iterator[list[PackUse]]:
    """Portions that copy about ``limit`` bytes each: what they take on the server is given back after each."""
    part: list[PackUse] = []
    copied = 0
    for use in packs:
        if part and copied + use.needed_bytes > limit:
            yield part
            part, copied = [], 0
        part.append(use)
        copied += use.needed_bytes
    if part:
        yield part
