"""Finding out, for pruning, what all snapshots need and what is on the server - and refusing when that is not certain.

Backups are only looked at through proved listings and whole index files: what is not known to be needed is going to
be removed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from backup_core.errors import Corrupt, ListingUnproved, NotFound, RepositoryError
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.layout import FileKind, file_name, is_id, pack_name
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_set import BlobSet
from backup_core.repository.check import pack_directories
from backup_core.repository.index_rewrite import listings_of
from backup_core.repository.parallel import each
from backup_core.repository.prune_plan import Needed, PruneBounds, PrunePlan, make_plan, measure
from backup_core.repository.repository import Repository
from backup_core.storage.backend import Listing
from backup_core.types import BlobType, IndexId, PackId, TreeId


def list_packs(repository: Repository, *, cancel: CancelToken) -> dict[PackId, int]:
    """Every pack on the server and its bytes. Raises ``ListingUnproved`` when there may be more."""
    backend = repository.backend
    found: dict[PackId, int] = {}
    threads = backend.promises.parallel_requests
    for directory, listing in each(backend.list, pack_directories(backend), threads=threads, cancel=cancel):
        if not isinstance(listing, Listing):
            raise listing
        if not listing.proved_complete:
            raise ListingUnproved(
                f"the listing of {directory}/ at {backend.location} may be incomplete"
                f"{': ' + listing.doubt if listing.doubt else ''}. Nothing is removed; try again later"
            )
        for entry in listing.objects:
            digits = entry.name.rpartition("/")[2]
            if is_id(digits):
                found[PackId(from_hex(digits))] = entry.size
    return found


def survey(
    repository: Repository,
    listed: Mapping[PackId, int],
    bounds: PruneBounds,
    *,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> PrunePlan:
    """The plan for the repository as it is now. Called with a lock held, ``listed`` found before it was taken: so an
    orphan in it cannot belong to a run that is still under way.

    Raises ``ListingUnproved``, ``IndexIncomplete``, ``BlobMissing`` or ``Corrupt`` when anything needed is uncertain,
    ``RepositoryError`` when there is no snapshot at all.
    """
    roots = _snapshot_roots(repository, cancel)
    index = repository.load_index(progress, cancel)
    listing = index_listing(repository, {}, cancel=cancel)
    if differing := index.index_ids.symmetric_difference(listing):
        raise ListingUnproved(
            f"two listings of index/ at {repository.backend.location} differ by {min(differing)[:8]}. Nothing is "
            "removed; try again when nobody else uses the repository"
        )
    needed = needed_blobs(repository, roots.values(), progress=progress, cancel=cancel)
    sizes: dict[PackId, int | None] = {}
    lost: list[PackId] = []
    for pack, size in index.pack_sizes():
        cancel.check()
        actual = listed[pack] if pack in listed else _size_on_server(repository, pack)
        if actual is None:
            lost.append(pack)
        else:
            sizes[pack] = actual if actual == size else None
    return make_plan(
        measure(index.entries(), needed, sizes),
        bounds,
        pack_size=repository.pack_size,
        orphans={pack: size for pack, size in listed.items() if index.pack_size(pack) is None},
        lost=lost,
        snapshots=roots.keys(),
        indexes=listing,
    )


def refuse_hidden(repository: Repository, kind: FileKind, known: Iterable[str], listed: Container[str]) -> None:
    """Raise ``ListingUnproved`` when a file that is known from elsewhere is there, though the listing did not show it:
    it is asked for by its name."""
    for digits in known:
        if digits in listed:
            continue
        try:
            repository.backend.stat(file_name(kind, digits))
        except NotFound:
            continue
        raise ListingUnproved(
            f"{kind.value}/{digits[:8]} is at {repository.backend.location}, but its listing does not show it. Nothing "
            "is removed: do not trust this server's listings"
        )


def _snapshot_roots(repository: Repository, cancel: CancelToken) -> dict[str, TreeId]:
    """Snapshot id -> root, of all that are listed, whether or not they can be read just now."""
    listed = repository.files.list(FileKind.SNAPSHOT).files.keys()
    roots: dict[str, TreeId] = {snapshot.id: snapshot.tree for snapshot in repository.snapshots(cancel=cancel)}
    if unread := listed - roots.keys():
        raise ListingUnproved(
            f"the snapshot {min(unread)[:8]} at {repository.backend.location} is listed and cannot be had, so nobody "
            "knows what it needs. Nothing is removed; try again later"
        )
    if not roots:
        raise RepositoryError(
            f"there is no snapshot at {repository.backend.location}: pruning would remove everything. If that is what "
            "you want, remove the repository's folder"
        )
    return roots


def index_listing(
    repository: Repository, known: Mapping[IndexId, list[PackId]], *, cancel: CancelToken
) -> dict[IndexId, list[PackId]]:
    """Which packs each index file on the server lists; files that are ``known`` are not read again."""
    present = [IndexId(digits) for digits in repository.files.list(FileKind.INDEX).files]
    listing = {index: known[index] for index in present if index in known}
    fresh = [index for index in present if index not in known]
    listing |= listings_of(repository, fresh, cancel=cancel)
    return listing


def needed_blobs(
    repository: Repository, roots: Iterable[TreeId], *, progress: ProgressTracker, cancel: CancelToken
) -> Needed:
    """Every blob that the snapshots with these roots refer to. Raises ``BlobMissing`` or ``Corrupt`` when a directory
    cannot be read: what is below it would be taken for not needed."""
    data, trees = BlobSet(), BlobSet()
    pending = list(dict.fromkeys(roots))
    while pending:
        cancel.check()
        tree = pending.pop()
        if not trees.add(tree):
            continue
        nodes = repository.read_tree(tree, keep=False)
        for node in nodes:
            if (node.type == "dir" and node.subtree is None) or (node.type == "file" and node.content is None):
                raise Corrupt(
                    f"an entry of the tree {to_hex(tree)[:16]} does not say where its content is. Nothing is removed",
                    kind="tree",
                    object_id=to_hex(tree),
                )
            if node.subtree is not None:
                pending.append(node.subtree)
            data.update(node.content or ())
        progress.advance(files=len(nodes))
    return {BlobType.DATA: data, BlobType.TREE: trees}


def _size_on_server(repository: Repository, pack: PackId) -> int | None:
    """Of a pack that was not there when the directories were listed: it may have come since."""
    try:
        return repository.backend.stat(pack_name(pack)).size
    except NotFound:
        return None
