"""Putting blobs that are compressed (or even sealed) already into new packs, trees and data apart."""

from __future__ import annotations

from backup_core.format.cipher import OVERHEAD
from backup_core.format.pack import PackBuilder
from backup_core.repository.buffers import fresh_buffer
from backup_core.repository.repository import Repository
from backup_core.repository.uploader import Uploader
from backup_core.types import BlobId, BlobType, Buffer, PackedBlob

_HEADROOM = 1024 * 1024
"""Bytes of a buffer beyond the pack size, for the header and part of the last blob."""


class PackFiller:
    """Fills packs and hands them to an uploader. Belongs to one thread; ``flush`` before the uploader's ``finish``."""

    def __init__(self, repository: Repository, uploader: Uploader) -> None:
        self._repository = repository
        self._uploader = uploader
        self._open: dict[BlobType, tuple[PackBuilder, memoryview]] = {}

    def add_box(self, blob: BlobId, kind: BlobType, box: Buffer, uncompressed_length: int) -> PackedBlob:
        """Take over a box that was sealed with this repository's own key."""
        packed = self._builder(kind, len(box) - OVERHEAD).add_sealed(blob, kind, box, uncompressed_length)
        self._close_if_full(kind)
        return packed

    def add_payload(self, blob: BlobId, kind: BlobType, payload: Buffer, uncompressed_length: int) -> PackedBlob:
        """Seal what another repository's box held, compressed as it was (0 bytes ``uncompressed``: not at all)."""
        packed = self._builder(kind, len(payload)).add(blob, kind, payload, uncompressed_length)
        self._close_if_full(kind)
        return packed

    def flush(self) -> None:
        """Hand the packs begun to the uploader."""
        for kind in list(self._open):
            self._close(kind)

    def _builder(self, kind: BlobType, payload: int) -> PackBuilder:
        """A pack of this kind of blob with room for so many bytes."""
        if kind in self._open and not self._open[kind][0].room_for(payload):
            self._close(kind)
        if kind not in self._open:
            buffer = fresh_buffer(max(self._repository.pack_size, payload) + _HEADROOM)
            self._open[kind] = PackBuilder(buffer, self._repository.sealer()), buffer
        return self._open[kind][0]

    def _close_if_full(self, kind: BlobType) -> None:
        if self._open[kind][0].size >= self._repository.pack_size:
            self._close(kind)

    def _close(self, kind: BlobType) -> None:
        builder, buffer = self._open.pop(kind)
        self._uploader.put_pack(builder.finish(self._uploader.placement.choose()), buffer, _released)


def _released() -> None:
    """Every pack has a buffer of its own, which goes when the uploader lets go of it."""
