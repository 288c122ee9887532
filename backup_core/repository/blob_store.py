"""Storing blobs from the main process: trees above all, and data when there is too little of it for workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from backup_core.format.cipher import OVERHEAD, Sealer
from backup_core.format.compression import Compressor
from backup_core.format.ids import blob_id
from backup_core.format.pack import PackBuilder
from backup_core.repository.buffers import fresh_buffer
from backup_core.repository.index import Index
from backup_core.repository.uploader import Uploader
from backup_core.types import BlobId, BlobType, Buffer, TreeId

_HEADROOM = 1024 * 1024
"""Bytes of a buffer beyond the pack size, for the header and part of the last blob."""

_ONE_BLOB = 4096
"""What a pack with a single blob needs beyond that blob, generously."""


class StoreTotals(NamedTuple):
    """What one store has added."""

    data_blobs: int = 0
    tree_blobs: int = 0
    plain_bytes: int = 0
    """Plaintext of the new blobs."""
    stored_bytes: int = 0
    """The same, compressed and sealed."""


class BlobStore:
    """Compresses, seals and packs blobs that are not stored yet. Safe between threads; ``flush`` before ``finish``.

    Trees and data go to different packs, so that trees can be cached.
    """

    def __init__(
        self,
        index: Index,
        uploader: Uploader,
        *,
        sealer: Sealer,
        pack_size: int,
        compression_level: int | None,
    ) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._totals = StoreTotals()
        # Directories compress so well, and cost so little time, that they are compressed in every mode.
        trees = Compressor(compression_level or 3)
        data = None if compression_level is None else trees
        self._writers = {
            BlobType.DATA: _PackWriter(uploader, sealer, pack_size, data),
            BlobType.TREE: _PackWriter(uploader, sealer, pack_size, trees),
        }

    @property
    def totals(self) -> StoreTotals:
        """What was added so far."""
        return self._totals

    def save_tree(self, text: Buffer) -> TreeId:
        """Store the text of a directory unless it is stored already; its id."""
        return TreeId(self.save_blob(BlobType.TREE, text))

    def save_blob(self, kind: BlobType, data: Buffer) -> BlobId:
        """Store a blob unless it is stored already; its id. Raises the first error of any upload."""
        blob = blob_id(data)
        if self._index.contains(blob, kind):
            return blob
        with self._lock:
            writer = self._writers[kind]
            if writer.holds(blob) or self._index.contains(blob, kind):
                return blob
            stored = writer.add(blob, kind, data)
            old = self._totals
            self._totals = StoreTotals(
                old.data_blobs + (kind is BlobType.DATA),
                old.tree_blobs + (kind is BlobType.TREE),
                old.plain_bytes + len(data),
                old.stored_bytes + stored,
            )
        return blob

    def flush(self) -> None:
        """Hand the packs begun to the uploader."""
        with self._lock:
            for writer in self._writers.values():
                writer.close_pack()


class _PackWriter:
    """Fills packs of one kind of blob. Called with the store's lock held, but for what ``_recycle`` does."""

    def __init__(self, uploader: Uploader, sealer: Sealer, pack_size: int, compressor: Compressor | None) -> None:
        self._uploader = uploader
        self._sealer = sealer
        self._pack_size = pack_size
        self._compressor = compressor
        self._buffer = memoryview(b"")
        self._builder: PackBuilder | None = None
        self._lock = threading.Lock()
        self._free: list[memoryview] = []
        self._unstored: set[BlobId] = set()
        """Blobs in packs that the uploader has not put into the index yet."""

    def holds(self, blob: BlobId) -> bool:
        with self._lock:
            return blob in self._unstored

    def add(self, blob: BlobId, kind: BlobType, data: Buffer) -> int:
        """Add a blob; its stored bytes."""
        frame = self._compressor.compress(data) if self._compressor else None
        payload, plain_length = (data, 0) if frame is None else (frame, len(data))
        if self._builder is not None and not self._builder.room_for(len(payload)):
            self.close_pack()
        if self._builder is None:
            self._buffer = self._take_buffer(len(payload))
            self._builder = PackBuilder(self._buffer, self._sealer)
        packed = self._builder.add(blob, kind, payload, plain_length)
        with self._lock:
            self._unstored.add(blob)
        if self._builder.size >= self._pack_size:
            self.close_pack()
        return packed.length

    def close_pack(self) -> None:
        """Hand the pack begun, if there is one, to the uploader."""
        builder, self._builder = self._builder, None
        if builder is None:
            return
        pack, buffer = builder.finish(self._uploader.placement.choose()), self._buffer
        self._uploader.put_pack(pack, buffer, self._recycler(buffer, frozenset(blob.id for blob in pack.blobs)))

    def _recycler(self, buffer: memoryview, blobs: frozenset[BlobId]) -> Callable[[], None]:
        def recycle() -> None:
            with self._lock:
                self._unstored -= blobs
                if len(buffer) == self._pack_size + _HEADROOM:
                    self._free.append(buffer)

        return recycle

    def _take_buffer(self, payload: int) -> memoryview:
        if payload + OVERHEAD + _ONE_BLOB > self._pack_size + _HEADROOM:
            return fresh_buffer(payload + OVERHEAD + _ONE_BLOB)  # one huge directory has a pack of its own
        with self._lock:
            return self._free.pop() if self._free else fresh_buffer(self._pack_size + _HEADROOM)
