"""Are the packs on the server what the index says they are?

Two depths: sizes, from one listing of each directory concerned; and content, by reading a whole pack. What is wrong
is returned as problems; only not being able to look is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt, NotFound, ShortRead
from backup_core.format.cipher import Sealer
from backup_core.format.ids import from_hex, sha256, to_hex
from backup_core.format.layout import PACK_DIRECTORIES, FileKind, is_id, pack_directory, pack_name
from backup_core.format.pack import read_header
from backup_core.progress import CancelToken
from backup_core.repository.blob_reader import BlobOpener
from backup_core.repository.index import IndexView
from backup_core.repository.parallel import each
from backup_core.results import Problem, Severity
from backup_core.storage.backend import Backend, Listing
from backup_core.types import BlobId, BlobLocation, Buffer, PackedBlob, PackId

MISSING_PACK = "missing-pack"
WRONG_SIZE = "wrong-size-pack"
DAMAGED_PACK = "damaged-pack"


@dataclass(frozen=True, slots=True)
class PackReport:
    """What reading one pack showed."""

    pack: PackId
    size: int
    """Bytes read."""
    blobs: int
    """Blobs that were found right."""
    damaged: frozenset[BlobId] = frozenset()
    """Blobs that this pack should hold and that cannot be had from it."""
    problems: tuple[Problem, ...] = ()


def what_is_left(backend: Backend, pack: PackId) -> bytes:
    """Whatever the server still gives of a pack, unverified and as long as it is there; nothing when it is gone."""
    try:
        return backend.get(pack_name(pack))
    except (NotFound, ShortRead):
        return b""


def find_bad_packs(
    backend: Backend, sizes: Iterable[tuple[PackId, int]], *, cancel: CancelToken | None = None
) -> Iterator[Problem]:
    """Problems with packs that are missing or do not have their size, one request for each directory concerned.

    ``object_id`` of each is the pack's hex id. Where a listing may be incomplete, a pack it lacks is asked for by name.
    """
    by_directory: dict[str, dict[str, int]] = {}
    for pack, size in sizes:
        by_directory.setdefault(pack_directory(pack), {})[pack_name(pack)] = size
    for directory, listing in _list_each(backend, sorted(by_directory), cancel):
        yield from _compare(backend, by_directory[directory], listing)


def find_unreferenced(
    backend: Backend, known: Container[PackId], *, cancel: CancelToken | None = None
) -> Iterator[tuple[PackId, int]]:
    """(pack, bytes) of packs on the server that are not among ``known``: left by interrupted runs, freed by pruning."""
    for _, listing in _list_each(backend, pack_directories(backend), cancel):
        for entry in listing.objects:
            digits = entry.name.rpartition("/")[2]
            if is_id(digits) and from_hex(digits) not in known:
                yield PackId(from_hex(digits)), entry.size


def pack_directories(backend: Backend) -> Sequence[str]:
    """The directories in which packs may lie: those there are, by one request, or all 256 when that is not proved."""
    listing = backend.list(FileKind.PACK.value)
    if not listing.proved_complete:
        return PACK_DIRECTORIES
    there = frozenset(listing.directories)
    return [directory for directory in PACK_DIRECTORIES if directory in there]


def read_and_examine(
    backend: Backend, index: IndexView, pack: PackId, examine: Callable[[PackId, bytes], PackReport]
) -> PackReport:
    """Fetch a whole pack and examine it. Raises ``StorageError`` when the server does not answer."""
    try:
        # Handed on without a name here, so that whoever examines it may let go of it.
        return examine(pack, backend.get(pack_name(pack)))
    except (NotFound, ShortRead) as error:
        missing = isinstance(error, NotFound)
        problem = _problem(MISSING_PACK, pack, "is missing on the server" if missing else f"cannot be read: {error}")
        return PackReport(pack, 0, 0, frozenset(blob.id for blob in index.pack_blobs(pack)), (problem,))


class PackExaminer:
    """Examines whole packs. Keeps contexts, so each thread or process has its own."""

    def __init__(self, sealer: Sealer, index: IndexView) -> None:
        self._sealer = sealer
        self._index = index
        self._opener = BlobOpener(sealer)

    def examine(self, pack: PackId, data: Buffer) -> PackReport:
        """Check the name, the header against the index, and every blob of a pack."""
        listed = self._index.pack_blobs(pack)
        problems: list[Problem] = []
        if sha256(data) != pack:
            problems.append(_problem(DAMAGED_PACK, pack, "does not have the content it was named after"))
        if fault := self._header_fault(data, listed):
            problems.append(_problem(DAMAGED_PACK, pack, fault))
        damaged, first = self._damaged_blobs(pack, data, listed)
        if damaged:
            problems.append(_problem(DAMAGED_PACK, pack, f"has {len(damaged)} blobs that cannot be read: {first}"))
        return PackReport(pack, len(data), len(listed) - len(damaged), frozenset(damaged), tuple(problems))

    def _header_fault(self, data: Buffer, listed: Sequence[PackedBlob]) -> str:
        try:
            header = read_header(data, len(data), self._sealer)
        except Corrupt as error:
            return f"has a damaged header: {error}"
        if set(header) != set(listed):
            return f"lists {len(header)} blobs in its header, the index {len(set(listed))}, and they are not the same"
        return ""

    def _damaged_blobs(self, pack: PackId, data: Buffer, listed: Sequence[PackedBlob]) -> tuple[set[BlobId], str]:
        view = memoryview(data)
        damaged: set[BlobId] = set()
        first = ""
        for blob, kind, offset, length, plain in listed:
            place = BlobLocation(pack, kind, offset, length, plain)
            try:
                self._opener.open(blob, place, view[offset : offset + length])
            except Corrupt as error:
                damaged.add(blob)
                first = first or str(error)
        return damaged, first


def _list_each(
    backend: Backend, directories: Sequence[str], cancel: CancelToken | None
) -> Iterator[tuple[str, Listing]]:
    threads = backend.promises.parallel_requests
    for directory, listing in each(backend.list, directories, threads=threads, cancel=cancel):
        if not isinstance(listing, Listing):
            raise listing
        yield directory, listing


def _compare(backend: Backend, wanted: Mapping[str, int], listing: Listing) -> Iterator[Problem]:
    found = {entry.name: entry.size for entry in listing.objects}
    for name, size in wanted.items():
        actual = found.get(name)
        if actual is None and not listing.proved_complete:
            actual = _size_on_server(backend, name)
        pack = PackId(from_hex(name.rpartition("/")[2]))
        if actual is None:
            yield _problem(MISSING_PACK, pack, "is missing on the server")
        elif actual != size:
            yield _problem(WRONG_SIZE, pack, f"has {actual} bytes on the server instead of {size}")


def _size_on_server(backend: Backend, name: str) -> int | None:
    try:
        return backend.stat(name).size
    except NotFound:
        return None


def _problem(kind: str, pack: PackId, fault: str) -> Problem:
    return Problem(
        kind,
        f"the pack {to_hex(pack)[:16]} {fault}. A full backup stores again what the source still has",
        object_id=to_hex(pack),
        severity=Severity.ERROR,
    )
