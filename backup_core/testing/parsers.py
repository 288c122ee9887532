"""Every reader of bytes from a server, with examples of what it reads: for tests of damage and for fuzzing.

Each answers with a value or raises one of ``REFUSALS``, whatever the bytes are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from backup_core.errors import FormatError, ShortRead, Unsupported
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.compression import Compressor, Decompressor, pack_unpacked, unpack_unpacked
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.index_file import decode_index, encode_index
from backup_core.format.kdf import ScryptParameters
from backup_core.format.key_file import KeyFile
from backup_core.format.lock_file import LockFile
from backup_core.format.pack import PackBuilder, read_header
from backup_core.format.parity import ParityLayout, decode_header, encode_header, header_length, trailer_length
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.format.tree import Node, decode_tree, encode_node, encode_tree
from backup_core.services.run_records import document as run_record
from backup_core.storage.webdav.listing import gather, next_link
from backup_core.storage.webdav.multistatus import parse as parse_multistatus
from backup_core.types import BlobId, BlobType, PackedBlob, PackId, TreeId

REFUSALS = (FormatError, ShortRead, Unsupported)
"""What a reader may raise."""
SEALER = Sealer(MasterKey(b"e" * 32, b"k" * 16, b"r" * 16))
PLAIN = b"words and words again " * 40

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ID = BlobId(bytes(range(32)))
_COUNTS = range(12)
_NODE = Node(
    b"n\xff", "file", 420, 1, 2, 3, 4, 5, "u", "g", 6, 7, 8, 9, b"\xff", ((b"user.a", b"v"),), 10, (_ID,), TreeId(_ID),
    "e",
)  # fmt: skip
_LIST = b"""<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/dav/data/</D:href>
<D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status>
</D:propstat></D:response><D:response><D:href>/dav/data/a%20b</D:href><D:propstat><D:prop>
<D:getcontentlength>12</D:getcontentlength><D:getlastmodified>Mon, 12 Jan 2026 09:25:56 GMT</D:getlastmodified>
</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"""


class Parser(NamedTuple):
    """One reader, and bytes that it reads."""

    read: Callable[[bytes], Any]
    good: bytes


def _pack() -> bytes:
    buffer = bytearray(2000)
    builder = PackBuilder(buffer, SEALER)
    builder.add(_ID, BlobType.DATA, b"payload", 0)
    builder.add(_ID, BlobType.TREE, b"payload", 50)
    return bytes(buffer[: builder.finish().size])


def _authentic_header(header: bytes) -> Any:
    """Read a pack's header that somebody with the key has sealed; a pack of any size may be claimed."""
    box = SEALER.seal(header[4:])
    return read_header(box + struct.pack("<I", len(box)), int.from_bytes(header[:4], "little"), SEALER)


def _folder(body: bytes) -> Any:
    entries = parse_multistatus(body)
    return gather(entries, ("dav", "data"))


_PARITY, _TRAILER = encode_header(ParityLayout(31, 1, 64, ((PackId(bytes(32)), 100),)), bytes(8 * 32))
_RECORD = run_record.RecordDocument(
    "ab" * 32, "cd" * 8, "host", _NOW.isoformat(), "davault 1", ({"name": "c"},), ({"name": "d"},),
    (run_record.KnownSnapshot("ef" * 32, "d_1", "d", _NOW.isoformat()),), {"runs": [{"kind": "backup"}]},
)  # fmt: skip

PARSERS: dict[str, Parser] = {
    "tree": Parser(decode_tree, encode_tree([encode_node(_NODE, UTC), encode_node(Node(b"\xfft", "dir"), UTC)])),
    "index": Parser(
        lambda data: list(decode_index(data)),
        encode_index([(PackId(bytes(32)), [PackedBlob(_ID, BlobType.DATA, 0, 40, 50)])]),
    ),
    "snapshot": Parser(
        Snapshot.decode,
        Snapshot(_NOW, TreeId(_ID), ("/",), tags=("t",), uid=7, summary=SnapshotSummary(_NOW, _NOW, *_COUNTS)).encode(),
    ),
    "lock": Parser(LockFile.decode, LockFile(_NOW, True, "h", "u", 1, 2, 3).encode()),
    "key": Parser(KeyFile.decode, KeyFile(_NOW, "u", "h", ScryptParameters(salt=bytes(64)), b"data").encode()),
    "config": Parser(RepositoryConfig.decode, RepositoryConfig(2, "ab" * 32, 0x25B468838DCB75).encode()),
    "master key": Parser(MasterKey.from_json, MasterKey(b"e" * 32, b"k" * 16, b"r" * 16).to_json()),
    "run record": Parser(run_record.decode, _RECORD.encode()),
    "box": Parser(SEALER.open, SEALER.seal(PLAIN)),
    "pack": Parser(lambda data: read_header(data, len(data), SEALER), _pack()),
    "pack header": Parser(_authentic_header, struct.pack("<I", 113) + struct.pack("<BI32s", 0, 40, _ID)),
    "frame": Parser(lambda data: Decompressor().decompress(data, len(PLAIN)), Compressor().compress(PLAIN) or b""),
    "unpacked": Parser(unpack_unpacked, pack_unpacked(PLAIN)),
    "parity header": Parser(decode_header, _PARITY),
    "parity beginning": Parser(header_length, _PARITY[:64]),
    "parity end": Parser(trailer_length, _TRAILER[-64:]),
    "multistatus": Parser(_folder, _LIST),
    "link": Parser(lambda data: next_link({"link": data.decode("latin-1")}), b'</dav/?page=2>; rel="next"'),
}
"""By name."""
JSON_KINDS = ("tree", "index", "snapshot", "lock", "key", "config", "master key", "run record")
"""Those that read JSON as it is."""
