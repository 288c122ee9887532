"""Storing an index file, which others rely on from the moment it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from backup_core.errors import BackupError, LockLost
from backup_core.format.index_file import encode_index
from backup_core.format.layout import FileKind
from backup_core.format.pack import pack_size_of
from backup_core.repository.check import find_bad_packs
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.sealed_files import SealedFiles
from backup_core.storage.backend import Backend
from backup_core.types import IndexId, PackedBlob, PackId

INDEX_BLOBS = 50_000
"""Blobs after which an index file is written."""

Listed = Sequence[tuple[PackId, Sequence[PackedBlob]]]
"""Packs and what is in them."""


def split_for_index(packs: Iterable[tuple[PackId, Sequence[PackedBlob]]]) -> Iterator[Listed]:
    """Portions of about ``INDEX_BLOBS`` blobs. All blobs of a pack stay together: readers rely on it."""
    part: list[tuple[PackId, Sequence[PackedBlob]]] = []
    count = 0
    for pack, blobs in packs:
        part.append((pack, blobs))
        count += len(blobs)
        if count >= INDEX_BLOBS:
            yield part
            part, count = [], 0
    if part:
        yield part


def write_index_file(backend: Backend, files: SealedFiles, held: HeldLock, packs: Listed) -> IndexId:
    """List packs that are on the server in a new index file.

    Raises ``LockLost`` when our lock is gone. If that happened while this process stood still in the middle of it,
    others may have pruned some of these packs as nobody's, and an index that names them would make later backups take
    for stored what is lost: so the file is replaced by one that lists what is still there.
    """
    held.confirm()
    index = IndexId(files.write(FileKind.INDEX, encode_index(packs)))
    try:
        held.confirm()
    except LockLost as lost:
        try:
            _take_back(backend, files, index, packs)
        except BackupError as error:
            lost.add_note(f'the index file {index[:8]} may name packs that are gone ({error}): run "repair index"')
        raise
    return index


def _take_back(backend: Backend, files: SealedFiles, index: IndexId, packs: Listed) -> None:
    bad = {problem.object_id for problem in find_bad_packs(backend, ((p, pack_size_of(b)) for p, b in packs))}
    if not bad:
        return
    if there := [(pack, blobs) for pack, blobs in packs if pack.hex() not in bad]:
        files.write(FileKind.INDEX, encode_index(there))
    files.delete(FileKind.INDEX, index)
