"""Turn chunks into packs: hash, deduplicate, compress, seal, and put by slices into a slot. Runs in the workers."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from backup_core.engine.messages import GrantSlot, PackReady, pack_entries
from backup_core.engine.pack_slots import PackSlots
from backup_core.engine.seen import SeenTable
from backup_core.format.chunker import MAX
from backup_core.format.cipher import Sealer
from backup_core.format.compression import Compressor
from backup_core.format.ids import blob_id
from backup_core.format.pack import PackBuilder
from backup_core.repository.buffers import fresh_buffer
from backup_core.repository.index import IndexView
from backup_core.types import BlobId, BlobType

_WINDOW = MAX + (1 << 20)
"""Bytes in which blobs and headers are sealed before they go to the slot: the longest blob fits. A pack whose header
grows longer is closed before it is full."""


class PackPort(Protocol):
    """Where slots for packs come from and finished packs go to."""

    def ask(self) -> None:
        """Say that a slot will be needed soon."""
        ...

    def take(self) -> GrantSlot:
        """A slot; waits until there is one."""
        ...

    def give(self, pack: PackReady) -> None:
        """Hand over a finished pack together with its slot."""
        ...


class BlobPacker:
    """Stores chunks that the repository does not hold yet. One per worker."""

    def __init__(
        self,
        port: PackPort,
        slots: PackSlots,
        *,
        index: IndexView,
        seen: SeenTable,
        compressor: Compressor | None,
        sealer: Sealer,
        pack_size: int,
    ) -> None:
        """``pack_size``: bytes at which a pack is closed; the slots have room for one more blob."""
        self._port = port
        self._slots = slots
        self._index = index
        self._seen = seen
        self._compressor = compressor
        self._sealer = sealer
        self._pack_size = pack_size
        self._window = fresh_buffer(_WINDOW)
        self._builder: PackBuilder | None = None
        self._grant = GrantSlot(-1)

    def store(self, data: memoryview) -> BlobId:
        """The id of ``data``, which is in the repository when all packs are stored."""
        blob = blob_id(data)
        if self._index.contains(blob, BlobType.DATA) or not self._seen.claim(blob):
            return blob
        frame = self._compressor.compress(data) if self._compressor else None
        builder = self._builder_with_room(len(data) if frame is None else len(frame))
        if frame is None:
            builder.add(blob, BlobType.DATA, data, 0)
        else:
            builder.add(blob, BlobType.DATA, frame, len(data))
        if builder.size >= self._pack_size:
            self.flush()
        elif 4 * builder.size >= 3 * self._pack_size:
            self._port.ask()
        return blob

    def flush(self) -> None:
        """Close the pack under way, if there is one."""
        if self._builder is None:
            return
        pack = self._builder.finish(self._grant.first_bytes)
        self._builder = None
        self._port.give(PackReady(self._grant.slot, pack.id, pack.size, pack_entries(pack.blobs)))

    def _builder_with_room(self, length: int) -> PackBuilder:
        if self._builder is not None and not self._builder.room_for(length):
            self.flush()
        if self._builder is None:
            self._grant = self._port.take()
            put = partial(self._slots.write, self._grant.slot)
            self._builder = PackBuilder(self._window, self._sealer, spill=put, capacity=self._slots.slot_size)
        return self._builder
