"""The index as it should be: index files that cannot be read are replaced, packs in no index are listed by what their
headers say, packs that are gone are no longer listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Corrupt, FormatError, NotFound, ShortRead, StorageError
from backup_core.format.compression import unpack_unpacked
from backup_core.format.ids import to_hex
from backup_core.format.index_file import decode_index
from backup_core.format.layout import FileKind, file_name, pack_name
from backup_core.format.pack import LENGTH_FIELD, header_box_length, pack_size_of, read_header
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.index_rewrite import rewrite_index
from backup_core.repository.index_writing import split_for_index, write_index_file
from backup_core.repository.parallel import each
from backup_core.repository.prune_survey import list_packs
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity
from backup_core.types import BlobId, IndexId, PackedBlob, PackId

_TAIL = 64 * 1024
"""Bytes from the end of a pack that are fetched at first: they hold the headers of most packs."""


@dataclass(frozen=True, slots=True)
class IndexRepair:
    """What is wrong with the index, and so what is to be done."""

    put_back: Mapping[IndexId, bytes]
    """Index files that are damaged on the server, and of which this machine has good copies."""
    unreadable: Mapping[IndexId, str]
    """Index files that are damaged for good, and why; what they listed is found from the packs."""
    to_list: Mapping[PackId, Sequence[PackedBlob]]
    """Packs in no readable index, by their headers."""
    to_drop: frozenset[PackId]
    """Packs that are listed and not there."""
    stale: Mapping[IndexId, Sequence[PackId]]
    """The index files that list those, and what they list beside them."""
    problems: tuple[Problem, ...]
    """What cannot be repaired here: packs in no index whose header cannot be read or whose name is false, packs of
    a wrong size."""

    @property
    def nothing_to_do(self) -> bool:
        """True when the index is as it should be."""
        return not (self.put_back or self.unreadable or self.to_list or self.to_drop)


def plan_index_repair(repository: Repository, *, progress: ProgressTracker, cancel: CancelToken) -> IndexRepair:
    """Compare the index files with the packs. Called with a lock held.

    Raises ``ListingUnproved`` when any listing may be incomplete.
    """
    progress.phase("index")
    packs = list_packs(repository, cancel=cancel)
    put_back: dict[IndexId, bytes] = {}
    unreadable: dict[IndexId, str] = {}
    listed: dict[IndexId, list[PackId]] = {}
    sizes: dict[PackId, int] = {}
    firsts: Counter[BlobId] = Counter()
    names = [IndexId(digits) for digits in repository.files.list(FileKind.INDEX).files]
    threads = repository.backend.promises.parallel_requests
    boxes = each(lambda i: repository.backend.get(file_name(FileKind.INDEX, i)), names, threads=threads, cancel=cancel)
    for index, box in boxes:
        if isinstance(box, StorageError) and not isinstance(box, (NotFound, ShortRead)):
            raise box
        try:
            listed[index] = _packs_in(repository, index, box, sizes, firsts)
        except FormatError as error:
            copy = repository.cache.load(FileKind.INDEX, index)
            try:
                listed[index] = _packs_in(repository, index, copy, sizes, firsts)
                put_back[index] = copy or b""
            except FormatError:
                unreadable[index] = str(error)
    known = {pack for entries in listed.values() for pack in entries}
    gone = frozenset(pack for pack in known - packs.keys() if _is_gone(repository, pack))
    found, problems = _read_headers(repository, {p: n for p, n in packs.items() if p not in known}, progress, cancel)
    for pack in _misnamed(repository, found, firsts, cancel):
        del found[pack]
        problems.append(
            _problem(
                "misnamed-pack", pack, "is a copy of another under a false name: prune removes it, nothing needs it"
            )
        )
    problems += [
        _problem(
            "wrong-size-pack", pack, f"has {packs[pack]} bytes instead of {size}: repair packs salvages what it can"
        )
        for pack, size in sizes.items()
        if pack in packs and packs[pack] != size
    ]
    stale = {i: [p for p in entries if p not in gone] for i, entries in listed.items() if not gone.isdisjoint(entries)}
    return IndexRepair(put_back, unreadable, found, gone, stale, tuple(problems))


def run_index_repair(
    repository: Repository, plan: IndexRepair, *, progress: ProgressTracker, cancel: CancelToken
) -> None:
    """Carry a plan out, once. Raises ``RepositoryError`` when the server loses what it took; nothing is lost then."""
    with repository.lock(exclusive=True, cancel=cancel) as held:
        progress.phase("repair")
        for index, box in plan.put_back.items():
            held.ensure_held()
            repository.backend.put(file_name(FileKind.INDEX, index), box)
        for part in split_for_index(plan.to_list.items()):
            cancel.check()
            write_index_file(repository.backend, repository.files, held, part)
        problems: list[Problem] = []
        repository.load_index(cancel=cancel, problems=problems)
        if plan.stale:
            stay = sorted({pack for packs in plan.stale.values() for pack in packs})
            rewrite_index(repository, held, list(plan.stale), packs=stay, cancel=cancel)
        for index in plan.unreadable:
            held.ensure_held()
            repository.files.delete(FileKind.INDEX, index)
        repository.load_index(cancel=cancel)


def _packs_in(
    repository: Repository,
    index: IndexId,
    box: bytes | BackupError | None,
    sizes: dict[PackId, int],
    firsts: Counter[BlobId],
) -> list[PackId]:
    """The packs that an index file lists; their sizes and first blobs are noted. Raises ``FormatError``."""
    if not isinstance(box, bytes) or sha256(box).hexdigest() != index:
        raise Corrupt("its bytes are not the ones that it was named after", kind="index", object_id=index)
    found = []
    for pack, blobs in decode_index(unpack_unpacked(repository.sealer().open(box))):
        found.append(pack)
        sizes[pack] = pack_size_of(blobs)
        firsts.update(blob.id for blob in blobs[:1])
    return found


def _is_gone(repository: Repository, pack: PackId) -> bool:
    """Asked for by name: a listing alone is not believed."""
    try:
        repository.backend.stat(pack_name(pack))
    except NotFound:
        return True
    return False


def _read_headers(
    repository: Repository, packs: Mapping[PackId, int], progress: ProgressTracker, cancel: CancelToken
) -> tuple[dict[PackId, Sequence[PackedBlob]], list[Problem]]:
    found: dict[PackId, Sequence[PackedBlob]] = {}
    problems: list[Problem] = []
    threads = repository.backend.promises.parallel_requests
    work = each(lambda item: read_pack_header(repository, *item), sorted(packs.items()), threads=threads, cancel=cancel)
    for (pack, _), header in work:
        progress.advance(files=1)
        if isinstance(header, list):
            found[pack] = header
        elif isinstance(header, (FormatError, NotFound, ShortRead)):
            problems.append(
                _problem("unreadable-pack", pack, f"is in no index, and what it holds is unknown: {header}")
            )
        else:
            raise header
    return found, problems


def _misnamed(
    repository: Repository,
    found: Mapping[PackId, Sequence[PackedBlob]],
    firsts: Counter[BlobId],
    cancel: CancelToken,
) -> list[PackId]:
    """Which of the packs in no index are not what their names say. Only those are read whole that begin like another
    pack: a copy does, and reading all of them would take as long as reading everything where no index is left."""
    firsts = firsts + Counter(blob.id for blobs in found.values() for blob in blobs[:1])
    alike = [pack for pack, blobs in found.items() if blobs and firsts[blobs[0].id] > 1]

    def digest(pack: PackId) -> bytes:
        return sha256(repository.backend.get(pack_name(pack))).digest()

    misnamed = []
    for pack, read in each(digest, alike, threads=repository.backend.promises.parallel_requests, cancel=cancel):
        if isinstance(read, Exception):
            raise read
        if read != pack:
            misnamed.append(pack)
    return misnamed


def read_pack_header(repository: Repository, pack: PackId, size: int) -> list[PackedBlob]:
    """What a pack of ``size`` bytes on the server says that it holds. Raises ``Corrupt``, ``StorageError``."""
    if size < LENGTH_FIELD:
        raise Corrupt(f"a pack cannot be {size} bytes long", kind="pack")
    fetch = min(size, _TAIL)
    tail = repository.backend.get(pack_name(pack), offset=size - fetch, length=fetch)
    need = header_box_length(tail[-LENGTH_FIELD:]) + LENGTH_FIELD
    if need > size:
        raise Corrupt(f"a pack's header of {need} bytes is longer than the pack", kind="pack")
    if need > fetch:
        tail = repository.backend.get(pack_name(pack), offset=size - need, length=need)
    return read_header(tail, size, repository.sealer())


def _problem(kind: str, pack: PackId, fault: str) -> Problem:
    digits = to_hex(pack)
    return Problem(kind, f"the pack {digits[:16]} {fault}", object_id=digits, severity=Severity.ERROR)
