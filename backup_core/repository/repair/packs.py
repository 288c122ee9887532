"""What can still be read of damaged packs, or is in the cache of this machine, goes to new ones; then the index no
longer lists the damaged ones, and they are removed from the server. Their bytes may be kept on this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt, RepositoryError
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.layout import FileKind, pack_name
from backup_core.format.pack import read_header
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_reader import BlobOpener
from backup_core.repository.cache import write_private
from backup_core.repository.check import what_is_left
from backup_core.repository.index_rewrite import listings_of, take_off_index
from backup_core.repository.pack_filler import PackFiller
from backup_core.repository.repository import Repository
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId


@dataclass(frozen=True, slots=True)
class PacksRepair:
    """Which packs are damaged."""

    packs: tuple[PackId, ...]
    reasons: tuple[str, ...]
    """For each, what is wrong with it."""

    def without(self, packs: Collection[PackId]) -> PacksRepair:
        """The same for the other packs."""
        left = [(pack, why) for pack, why in zip(self.packs, self.reasons, strict=True) if pack not in packs]
        return PacksRepair(tuple(pack for pack, _ in left), tuple(why for _, why in left))

    @property
    def nothing_to_do(self) -> bool:
        """True when no pack is damaged."""
        return not self.packs


@dataclass(frozen=True, slots=True)
class PacksReport:
    """What became of the damaged packs."""

    salvaged: int
    """Blobs that were read from them and stored anew."""
    elsewhere: int
    """Blobs that other packs hold as well."""
    lost: tuple[BlobId, ...]
    """Blobs that are nowhere any more. A full backup stores again those that the source still has."""
    kept_in: Path | None
    """Where the damaged packs' bytes are."""


def plan_packs_repair(
    repository: Repository,
    wanted: Sequence[str] = (),
    *,
    read_data: bool = False,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> PacksRepair:
    """Find damaged packs: those named (hex ids or unambiguous beginnings), or all that are missing or do not have their
    size, and with ``read_data`` all whose content is not what it should be.

    Called with a lock held and the index loaded. Raises ``RepositoryError`` for a pack that the index does not list.
    """
    progress.phase("check")
    found: dict[PackId, str] = {}
    if wanted:
        for digits in wanted:
            found[_named(repository, digits)] = "named by the caller"
        return PacksRepair(tuple(found), tuple(found.values()))
    for problem in repository.check_packs(cancel=cancel):
        found[PackId(from_hex(problem.object_id))] = problem.message
    for pack in sorted(repository.index.packs()) if read_data else ():
        cancel.check()
        if pack not in found and (problems := repository.check_pack_data(pack).problems):
            found[pack] = problems[0].message
        progress.advance(files=1)
    return PacksRepair(tuple(found), tuple(found.values()))


def run_packs_repair(
    repository: Repository,
    plan: PacksRepair,
    *,
    keep_in: Path | None,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> PacksReport:
    """Carry a plan out, once. With ``keep_in``, each damaged pack is written into that directory first."""
    with repository.lock(exclusive=True, cancel=cancel) as held:
        progress.phase("repair")
        index = repository.load_index(cancel=cancel)
        listed = {pack: index.pack_blobs(pack) for pack in plan.packs}
        index.hide_packs(plan.packs)
        rescue = _Rescue(repository, keep_in)
        with repository.uploader(cancel) as uploader:
            filler = PackFiller(repository, uploader)
            for pack, blobs in listed.items():
                cancel.check()
                rescue.salvage(pack, blobs, filler)
                progress.advance(files=1)
            filler.flush()
            uploader.finish()
        names = map(IndexId, repository.files.list(FileKind.INDEX).files)
        listings = listings_of(repository, names, cancel=cancel)
        take_off_index(repository, held, plan.packs, listings, cancel=cancel)
        for pack in plan.packs:
            held.ensure_held()
            repository.backend.delete(pack_name(pack))
            repository.cache.remove(FileKind.PACK, to_hex(pack))
        repository.load_index(cancel=cancel)
    return PacksReport(rescue.salvaged, rescue.elsewhere, tuple(sorted(rescue.lost - rescue.saved)), keep_in)


class _Rescue:
    def __init__(self, repository: Repository, keep_in: Path | None) -> None:
        self._repository = repository
        self._keep_in = keep_in
        self._opener = BlobOpener(repository.sealer())
        self.salvaged = self.elsewhere = 0
        self.saved: set[BlobId] = set()
        self.lost: set[BlobId] = set()

    def salvage(self, pack: PackId, blobs: Sequence[PackedBlob], filler: PackFiller) -> None:
        """Store what can be read of a pack."""
        data = self._fetch(pack)
        for blob in dict.fromkeys([*blobs, *self._by_header(data)]):
            if self._repository.index.contains(blob.id, blob.type) or blob.id in self.saved:
                self.elsewhere += 1
            elif box := self._whole_box(pack, blob, data):
                filler.add_box(blob.id, blob.type, box, blob.uncompressed_length)
                self.saved.add(blob.id)
                self.salvaged += 1
            else:
                self.lost.add(blob.id)

    def _fetch(self, pack: PackId) -> bytes:
        data = what_is_left(self._repository.backend, pack)
        if self._keep_in is not None and data:
            try:
                write_private(self._keep_in / to_hex(pack), data)
            except OSError as error:
                raise RepositoryError(
                    f"the damaged pack cannot be kept in {self._keep_in} ({error.strerror}), so it stays where it is"
                ) from error
        return data

    def _by_header(self, data: bytes) -> list[PackedBlob]:
        try:
            return read_header(data, len(data), self._repository.sealer())
        except Corrupt:
            return []  # mostly that is why we are here

    def _whole_box(self, pack: PackId, blob: PackedBlob, data: bytes) -> bytes | None:
        """The box of a blob, proved to hold it: from the pack, or from what this machine has kept of it."""
        place = BlobLocation(pack, BlobType(blob.type), blob.offset, blob.length, blob.uncompressed_length)
        cache = self._repository.cache
        for box in (
            data[blob.offset : blob.offset + blob.length],
            cache.load_pack_range(pack, blob.offset, blob.length),
            cache.load_tree(blob.id),
        ):
            if box is None or len(box) != blob.length:
                continue
            try:
                self._opener.open(blob.id, place, box)
            except Corrupt:
                continue
            return box
        return None


def _named(repository: Repository, digits: str) -> PackId:
    found = [pack for pack in repository.index.packs() if to_hex(pack).startswith(digits.lower())] if digits else []
    if len(found) != 1:
        raise RepositoryError(
            f"{'several packs begin' if found else 'the index lists no pack that begins'} with {digits!r}"
        )
    return found[0]
