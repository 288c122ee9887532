"""Replacing index files by others: fewer ones, or ones that no longer list packs that are gone.

**Order.** New files first; where the server may lose or cut a write they are looked for; only then old files go. So at
every moment the index files on the server list every pack they should. Interrupted, a pack is listed twice, which every
reader understands, and the next rewrite puts right. Whoever reads the index must not find a file gone that was listed a
moment ago, so this takes an exclusive lock.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from backup_core.errors import Cancelled, IndexIncomplete, QuotaExceeded, RepositoryError, StorageError
from backup_core.format.ids import to_hex
from backup_core.format.index_file import decode_index
from backup_core.format.layout import FileKind, pack_name
from backup_core.progress import CancelToken
from backup_core.repository.check import find_bad_packs
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.index_writing import split_for_index, write_index_file
from backup_core.repository.repository import Repository
from backup_core.types import IndexId, PackedBlob, PackId

SMALL_INDEX = 1024 * 1024
"""Bytes below which an index file is worth merging: half of one that is full."""

MERGE_AT = 24
"""Small index files that are merged into one. Each backup leaves one, so every 24th deletes that many."""

_LOG = logging.getLogger(__name__)


class Rewritten(NamedTuple):
    """What became of the index files."""

    written: frozenset[IndexId] = frozenset()
    removed: frozenset[IndexId] = frozenset()


def rewrite_index(
    repository: Repository,
    held: HeldLock,
    stale: Collection[IndexId],
    *,
    packs: Iterable[PackId],
    cancel: CancelToken,
) -> Rewritten:
    """Write new index files that list ``packs``, as the loaded index knows them, then remove the ``stale`` ones.

    Whatever the stale files list beside ``packs`` is off the index afterwards. Needs an exclusive lock.
    """
    if not held.exclusive:
        raise RepositoryError("to replace index files, an exclusive lock on the repository is needed")
    files = repository.files
    written: set[IndexId] = set()
    listed = ((pack, blobs_of(repository, pack)) for pack in packs)
    try:
        for part in split_for_index(listed):
            cancel.check()
            written.add(write_index_file(repository.backend, files, held, part))
    except QuotaExceeded:
        for index in written.difference(stale):  # all that they list is listed by the old ones, too
            files.delete(FileKind.INDEX, index)
        raise
    if written and not repository.backend.promises.atomic_put:
        lost = written - files.list(FileKind.INDEX).files.keys()
        if lost:
            raise RepositoryError(
                f"the index file {min(lost)} that {repository.backend.location} had confirmed is not there. "
                "The old ones stay; distrust this server"
            )
    removed = frozenset(stale) - written
    for index in sorted(removed):
        held.ensure_held()
        files.delete(FileKind.INDEX, index)
    return Rewritten(frozenset(written), removed)


def blobs_of(repository: Repository, pack: PackId) -> Sequence[PackedBlob]:
    """What an index file lists of a pack. Raises ``IndexIncomplete`` when the loaded index does not know it: then a
    listing has hidden index files meanwhile, and what is to be replaced is worth more than its successor."""
    blobs = repository.index.pack_blobs(pack)
    if not blobs:
        raise IndexIncomplete(
            f"the loaded index of {repository.backend.location} does not know the pack {to_hex(pack)[:16]}, which an "
            "index file lists. The index files stay as they are; do not trust this server's listings"
        )
    return blobs


def listings_of(
    repository: Repository, wanted: Iterable[IndexId], *, cancel: CancelToken | None = None
) -> dict[IndexId, list[PackId]]:
    """Which packs each of these index files lists. Raises what reading one of them raises."""
    found: dict[IndexId, list[PackId]] = {}
    for digits, content in repository.files.read_each(FileKind.INDEX, wanted, ahead=2, cancel=cancel):
        if isinstance(content, Exception):
            raise content
        found[IndexId(digits)] = list(dict.fromkeys(pack for pack, _ in decode_index(content)))
    return found


def small_ones(files: Mapping[str, int]) -> list[IndexId]:
    """Those of these index files (id -> bytes) that are worth merging, if there are enough of them."""
    small = [IndexId(digits) for digits, size in files.items() if size < SMALL_INDEX]
    return small if len(small) >= MERGE_AT else []


def merge_small(repository: Repository, held: HeldLock, *, cancel: CancelToken) -> Rewritten:
    """Merge small index files, if there are many. Needs an exclusive lock, and the index loaded as it is now."""
    stale = small_ones(repository.files.list(FileKind.INDEX).files)
    if not stale or not repository.index.complete:
        return Rewritten()
    listings = listings_of(repository, stale, cancel=cancel)
    packs = sorted(frozenset[PackId]().union(*listings.values()))
    done = rewrite_index(repository, held, stale, packs=packs, cancel=cancel)
    repository.index.files_replaced(done.removed, done.written)
    return done


def drop_replaced_packs(
    repository: Repository, held: HeldLock, gone: Collection[PackId], *, cancel: CancelToken
) -> frozenset[PackId]:
    """Take packs off the index that are missing or cut off, if all they held is stored elsewhere: which ones.

    The others stay listed: what they held is lost, and their listing says what that was. Needs an exclusive lock, and
    the index loaded as it is now.
    """
    index = repository.index
    index.hide_packs(gone)
    sizes = [(pack, size) for pack in gone if (size := index.pack_size(pack)) is not None]
    bad = {problem.object_id for problem in find_bad_packs(repository.backend, sizes, cancel=cancel)}
    replaced = frozenset(
        pack
        for pack, _ in sizes
        if pack.hex() in bad and all(index.contains(blob.id, blob.type) for blob in index.pack_blobs(pack))
    )
    if replaced and index.complete:
        listings = listings_of(repository, map(IndexId, repository.files.list(FileKind.INDEX).files), cancel=cancel)
        take_off_index(repository, held, replaced, listings, cancel=cancel)
        for pack in replaced:
            repository.backend.delete(pack_name(pack))  # what a cut one left would be found by every check
        return replaced
    return frozenset()


def take_off_index(
    repository: Repository,
    held: HeldLock,
    removed: Collection[PackId],
    listings: Mapping[IndexId, Collection[PackId]],
    *,
    cancel: CancelToken,
) -> Rewritten:
    """Replace the index files that list any of these packs, or a pack that others list as well."""
    times = Counter(pack for packs in listings.values() for pack in packs)
    stale = [index for index, packs in listings.items() if any(p in removed or times[p] > 1 for p in packs)]
    stay = sorted({pack for index in stale for pack in listings[index]}.difference(removed))
    return rewrite_index(repository, held, stale, packs=stay, cancel=cancel)


def tend_index(repository: Repository, *, gone: Collection[PackId] = (), cancel: CancelToken) -> tuple[str, ...]:
    """After a backup, with no lock held: merge index files if there are many, and take packs off the index that were
    lost and are replaced (``gone``). Sentences for people.

    Costs nothing when there is nothing to do. That somebody else uses the repository, or that the server fails now, is
    no error: the backup is done, and the next one finds the same work.
    """
    if not gone and not small_ones(repository.files.last_seen(FileKind.INDEX)):
        return ()
    try:
        with repository.lock(exclusive=True, cancel=cancel) as held:
            index = repository.load_index(cancel=cancel)
            index.hide_packs(gone)
            dropped = drop_replaced_packs(repository, held, gone, cancel=cancel) if gone else frozenset()
            merge_small(repository, held, cancel=cancel)
    except (Cancelled, RepositoryError, StorageError) as error:
        _LOG.info("the index files stay as they are for now: %s", error)
        return ()
    if not dropped:
        return ()
    return (f"{len(dropped)} lost packs, whose content was stored anew, were taken off the index",)
