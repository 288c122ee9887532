"""Index files: JSON that tells which blobs lie where in which packs.

``{"packs":[{"id":P,"blobs":[{"id","type","offset","length","uncompressed_length"?}, ...]}, ...]}``; version 1 of the
format knows an older form without the outer object. "Indexing" in the design document of restic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from backup_core.errors import Corrupt
from backup_core.format.cipher import OVERHEAD
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.json_fields import UINT32, parse
from backup_core.types import BlobId, BlobType, Buffer, PackedBlob, PackId

_NAMES = {BlobType.DATA: "data", BlobType.TREE: "tree"}
_TYPES = {name: type for type, name in _NAMES.items()}


def encode_index(packs: Iterable[tuple[PackId, Sequence[PackedBlob]]]) -> bytes:
    """The JSON of one index file. All blobs of a pack belong into the same one."""
    return b'{"packs":[' + ",".join(_encode_pack(pack, blobs) for pack, blobs in packs).encode("ascii") + b"]}\n"


def _encode_pack(pack: PackId, blobs: Sequence[PackedBlob]) -> str:
    texts: list[str] = []
    for raw, type, offset, length, uncompressed in blobs:
        tail = f',"uncompressed_length":{uncompressed}}}' if uncompressed else "}"
        texts.append(f'{{"id":"{raw.hex()}","type":"{_NAMES[type]}","offset":{offset},"length":{length}{tail}')
    return f'{{"id":"{to_hex(pack)}","blobs":[{",".join(texts)}]}}'


def decode_index(json: Buffer) -> Iterator[tuple[PackId, list[PackedBlob]]]:
    """The packs of an index file with their blobs, in the file's order. Raises ``Corrupt`` while being iterated.

    A file of the size that writers make takes some 30 MB meanwhile. The field ``supersedes`` of old writers, and others
    not known here, mean nothing today and are passed over.
    """
    value = parse(json, "index")
    packs = value.get("packs") if isinstance(value, dict) else value
    if packs is None and isinstance(value, dict) and "packs" in value:
        return
    if not isinstance(packs, list):
        raise Corrupt("the index holds no list of packs", kind="index")
    for pack in packs:
        try:
            found = PackId(from_hex(pack["id"])), _decode_blobs(pack["blobs"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt(f"the index has an entry that makes no sense: {error!r:.100}", kind="index") from error
        yield found


def _decode_blobs(entries: list[dict[str, Any]]) -> list[PackedBlob]:
    blobs: list[PackedBlob] = []
    for entry in entries:
        offset, length, uncompressed = entry["offset"], entry["length"], entry.get("uncompressed_length", 0)
        # One look at all three: "or" keeps the type honest, any negative number makes the result negative.
        if not 0 <= offset | length | uncompressed < UINT32 or length < OVERHEAD:
            raise ValueError(f"offset {offset}, length {length}, uncompressed {uncompressed}")
        raw = BlobId(from_hex(entry["id"]))
        blobs.append(PackedBlob(raw, _TYPES[entry["type"]], offset, length, uncompressed))
    return blobs
