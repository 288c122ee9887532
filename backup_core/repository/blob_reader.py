"""Reading blobs: parts of packs are fetched, each blob is authenticated, decompressed and hashed before it is given.

Contiguous blobs of a pack come in one request. Trees are kept: sealed in the local cache, decoded in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from backup_core.errors import AuthenticationFailed, BlobMissing, Corrupt, NotFound, ShortRead
from backup_core.format.cipher import Sealer
from backup_core.format.compression import Decompressor
from backup_core.format.ids import blob_id, sha256, to_hex
from backup_core.format.layout import FileKind, pack_name
from backup_core.format.tree import Node, decode_tree
from backup_core.repository.cache import Cache
from backup_core.repository.index import IndexView
from backup_core.storage.backend import Backend
from backup_core.types import BlobId, BlobLocation, BlobType, Buffer, PackId, TreeId

MAX_GAP = 256 * 1024
"""Bytes between two wanted blobs that are fetched along rather than asking twice."""

MAX_RUN = 80 * 1024 * 1024
"""Longest part of a pack fetched at once, so that memory stays bounded (a single larger blob is fetched whole). A pack
of 64 MiB with the blob that filled it comes in one request."""

WHOLE_TREE_PACK = 64 * 1024 * 1024
"""Tree packs up to this size are fetched whole: who needs one tree of a snapshot nearly always needs its neighbours."""

TREE_MEMORY = 48 * 1024 * 1024
"""Bytes of tree text whose decoded form is kept in memory (that takes about three times as much)."""

Wanted: TypeAlias = tuple[BlobId, BlobLocation]


class Run(NamedTuple):
    """Blobs that one request fetches."""

    offset: int
    length: int
    blobs: tuple[Wanted, ...]


class BlobOpener:
    """Turns sealed boxes into verified blobs. Keeps contexts, so each thread has its own."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._decompressor = Decompressor()

    def open(self, blob: BlobId, place: BlobLocation, box: Buffer) -> bytes:
        """The plaintext of ``blob``. Raises ``Corrupt`` naming the blob and its pack."""
        return self.unseal(blob, place, box)[1]

    def unseal(self, blob: BlobId, place: BlobLocation, box: Buffer) -> tuple[bytes, bytes]:
        """(what the box holds, its plaintext): the same when the blob is not compressed. Raises as ``open``."""
        try:
            payload = plain = self._sealer.open(box)
            if place.uncompressed_length:
                plain = self._decompressor.decompress(payload, place.uncompressed_length)
        except (AuthenticationFailed, Corrupt) as error:
            raise damaged_blob(blob, place.pack, str(error)) from error
        if blob_id(plain) != blob:
            raise damaged_blob(blob, place.pack, "its content does not have this hash")
        return payload, plain


def damaged_blob(blob: BlobId, pack: PackId, reason: str) -> Corrupt:
    """The error for a blob that cannot be had from this pack."""
    return Corrupt(
        f"the blob {to_hex(blob)[:16]} in pack {to_hex(pack)[:16]} cannot be read: {reason}",
        kind="blob",
        object_id=to_hex(pack),
    )


def plan_runs(blobs: Sequence[Wanted]) -> list[Run]:
    """Group blobs of one pack into requests, ascending by offset."""
    runs: list[Run] = []
    group: list[Wanted] = []
    start = end = 0
    for wanted in sorted(blobs, key=lambda item: item[1].offset):
        place = wanted[1]
        stop = place.offset + place.length
        if group and (place.offset - end > MAX_GAP or stop - start > MAX_RUN):
            runs.append(Run(start, end - start, tuple(group)))
            group = []
        if not group:
            start = end = place.offset
        group.append(wanted)
        end = max(end, stop)
    if group:
        runs.append(Run(start, end - start, tuple(group)))
    return runs


class BlobReader:
    """Reads blobs and trees of one repository. Safe between threads."""

    def __init__(
        self, backend: Backend, cache: Cache, *, opener: Callable[[], BlobOpener], index: Callable[[], IndexView]
    ) -> None:
        self._backend = backend
        self._cache = cache
        self._opener = opener
        self._index = index
        self._trees = _TreeMemory(TREE_MEMORY)
        self._turns = _Turns()

    def fetch(self, pack: PackId, blobs: Sequence[Wanted]) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """(blob, plaintext) for blobs of one pack, ascending by offset; ``Corrupt`` in place of one that is damaged.

        A pack that is missing or cut off counts as damage; other errors of storage are raised.
        """
        for run, data in self.fetch_sealed(pack, blobs):
            if isinstance(data, Corrupt):
                yield run.blobs[0][0], data
            else:
                yield from self._open_run(run, data)

    def fetch_sealed(self, pack: PackId, blobs: Sequence[Wanted]) -> Iterator[tuple[Run, memoryview | Corrupt]]:
        """Like ``fetch``, but the boxes as they lie in the pack, for somebody else to open. ``Corrupt`` stands for a
        run of one blob."""
        for run in plan_runs(blobs):
            yield from self._fetch_run(pack, run)

    def read(self, blob: BlobId, kind: BlobType | None = None) -> bytes:
        """One blob, from any pack that has it whole. Raises ``BlobMissing`` or ``Corrupt``."""
        fault: Corrupt | None = None
        for place in self._places(blob, kind):
            for _, content in self.fetch(place.pack, [(blob, place)]):
                if not isinstance(content, Corrupt):
                    return content
                fault = fault or content
        raise fault or _missing(blob)

    def read_tree(self, tree: TreeId, *, keep: bool = True) -> list[Node]:
        """The nodes of a directory. The list is shared: do not change it. Raises ``BlobMissing`` or ``Corrupt``.

        Without ``keep`` they are not held in memory for the next who asks: for walks that meet each tree once.
        """
        nodes = self._trees.get(tree)
        if nodes is None:
            text = self.tree_text(tree)
            try:
                nodes = decode_tree(text)
            except Corrupt as error:
                raise Corrupt(f"the tree {to_hex(tree)[:16]}: {error}", kind="tree", object_id=to_hex(tree)) from error
            if keep:
                self._trees.put(tree, nodes, len(text))
        return nodes

    def tree_text(self, tree: TreeId) -> bytes:
        """A directory as it is stored, from the local cache if that has it. Raises ``BlobMissing`` or ``Corrupt``."""
        fault: Corrupt | None = None
        for place in self._places(tree, BlobType.TREE):
            text = self._cached_tree(tree, place)
            if text is not None:
                return text
            with self._turns.of(place.pack):
                # Whoever waited for the turn finds in the cache what the one before has fetched.
                text = self._cached_tree(tree, place)
                if text is not None:
                    return text
                try:
                    return self._opener().open(tree, place, self._fetch_tree(tree, place))
                except Corrupt as error:
                    self._cache.drop_tree(tree, place.pack)
                    fault = fault or error
        raise fault or _missing(tree)

    def _cached_tree(self, tree: TreeId, place: BlobLocation) -> bytes | None:
        for box in self._copies(tree, place):
            try:
                return self._opener().open(tree, place, box)
            except Corrupt:
                self._cache.drop_tree(tree, place.pack)  # the copy is damaged; the server's may be whole
        return None

    def _copies(self, tree: TreeId, place: BlobLocation) -> Iterator[bytes]:
        """What the cache has of a tree, the likelier place first."""
        box = self._cache.load_pack_range(place.pack, place.offset, place.length)
        if box is not None:
            yield box
        box = self._cache.load_tree(tree)
        if box is not None:
            yield box

    def _fetch_tree(self, tree: TreeId, place: BlobLocation) -> bytes:
        """The sealed tree, from the server; what was fetched along with it goes to the cache."""
        index = self._index()
        size = index.pack_size(place.pack) or 0
        whole = 0 < size <= WHOLE_TREE_PACK and all(blob.type is BlobType.TREE for blob in index.pack_blobs(place.pack))
        try:
            if not whole:
                box = self._backend.get(pack_name(place.pack), offset=place.offset, length=place.length)
                self._cache.store_tree(tree, box)
                return box
            data = self._backend.get(pack_name(place.pack))
        except (NotFound, ShortRead) as error:
            raise damaged_blob(tree, place.pack, _without_pack(error)) from error
        if sha256(data) == place.pack:
            self._cache.store(FileKind.PACK, to_hex(place.pack), data)
        return data[place.offset : place.offset + place.length]

    def _fetch_run(self, pack: PackId, run: Run) -> Iterator[tuple[Run, memoryview | Corrupt]]:
        try:
            data = memoryview(self._backend.get(pack_name(pack), offset=run.offset, length=run.length))
        except (NotFound, ShortRead) as error:
            for wanted in run.blobs:
                alone = Run(wanted[1].offset, wanted[1].length, (wanted,))
                if isinstance(error, ShortRead) and len(run.blobs) > 1:
                    # The pack is cut off somewhere; what lies before the cut can be had.
                    yield from self._fetch_run(pack, alone)
                else:
                    yield alone, damaged_blob(wanted[0], pack, _without_pack(error))
            return
        yield run, data

    def _open_run(self, run: Run, data: memoryview) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        opener = self._opener()
        for blob, place in run.blobs:
            start = place.offset - run.offset
            try:
                yield blob, opener.open(blob, place, data[start : start + place.length])
            except Corrupt as error:
                yield blob, error

    def _places(self, blob: BlobId, kind: BlobType | None) -> list[BlobLocation]:
        return self._index().find_all(blob, kind)


class _TreeMemory:
    """Decoded trees, least recently used ones dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._trees: OrderedDict[TreeId, tuple[list[Node], int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tree: TreeId) -> list[Node] | None:
        with self._lock:
            found = self._trees.get(tree)
            if found is None:
                return None
            self._trees.move_to_end(tree)
            return found[0]

    def put(self, tree: TreeId, nodes: list[Node], size: int) -> None:
        with self._lock:
            if size > self._limit or tree in self._trees:
                return
            self._trees[tree] = (nodes, size)
            self._held += size
            while self._held > self._limit:
                _, (_, dropped) = self._trees.popitem(last=False)
                self._held -= dropped


class _Turns:
    """One lock for each pack somebody is fetching trees of, so that a pack is not fetched twice at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[PackId, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, pack: PackId) -> Iterator[None]:
        with self._lock:
            turn, users = self._turns.get(pack, (threading.Lock(), 0))
            self._turns[pack] = (turn, users + 1)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                _, users = self._turns[pack]
                if users == 1:
                    del self._turns[pack]
                else:
                    self._turns[pack] = (turn, users - 1)


def _without_pack(error: NotFound | ShortRead) -> str:
    missing = isinstance(error, NotFound)
    return "the pack is missing on the server" if missing else "the pack on the server is cut off"


def _missing(blob: BlobId) -> BlobMissing:
    digits = to_hex(blob)
    return BlobMissing(
        f"the blob {digits[:16]} is in no index of the repository. Validate it to see which files need it", blob=digits
    )
