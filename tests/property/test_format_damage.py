"""Whatever comes from a server, a reader answers with a result or with a ``FormatError``; nothing else escapes."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backup_core.errors import Corrupt, FormatError
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.compression import Compressor, Decompressor, pack_unpacked, unpack_unpacked
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.go_text import unquote
from backup_core.format.go_time import parse_datetime, parse_time
from backup_core.format.ids import from_hex
from backup_core.format.index_file import decode_index, encode_index
from backup_core.format.kdf import ScryptParameters
from backup_core.format.key_file import KeyFile
from backup_core.format.lock_file import LockFile
from backup_core.format.pack import PackBuilder, read_header
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.format.tree import Node, decode_tree, encode_node, encode_tree
from backup_core.types import BlobId, BlobType, PackedBlob, PackId, TreeId

SEALER = Sealer(MasterKey(b"e" * 32, b"k" * 16, b"r" * 16))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = BlobId(bytes(range(32)))
PLAIN = b"words and words again " * 40


def _pack() -> bytes:
    buffer = bytearray(2000)
    builder = PackBuilder(buffer, SEALER)
    builder.add(ID, BlobType.DATA, b"payload", 0)
    builder.add(ID, BlobType.TREE, b"payload", 50)
    return bytes(buffer[: builder.finish().size])


def _decompress(data: bytes) -> bytes:
    return Decompressor().decompress(data, len(PLAIN))


FULL_NODE = Node(
    b"n\xff",
    "file",
    420,
    1,
    2,
    3,
    4,
    5,
    "u",
    "g",
    6,
    7,
    8,
    9,
    b"\xff",
    ((b"user.a", b"v"),),
    10,
    (ID,),
    TreeId(ID),
    "e",
)
COUNTS = range(12)
GOOD: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "tree": (decode_tree, encode_tree([encode_node(FULL_NODE, UTC), encode_node(Node(b"\xfft", "dir"), UTC)])),
    "index": (
        lambda data: list(decode_index(data)),
        encode_index([(PackId(bytes(32)), [PackedBlob(ID, BlobType.DATA, 0, 40, 50)])]),
    ),
    "snapshot": (
        Snapshot.decode,
        Snapshot(NOW, TreeId(ID), ("/",), tags=("t",), uid=7, summary=SnapshotSummary(NOW, NOW, *COUNTS)).encode(),
    ),
    "lock": (LockFile.decode, LockFile(NOW, True, "h", "u", 1, 2, 3).encode()),
    "key": (KeyFile.decode, KeyFile(NOW, "u", "h", ScryptParameters(salt=bytes(64)), b"data").encode()),
    "config": (RepositoryConfig.decode, RepositoryConfig(2, "ab" * 32, 0x25B468838DCB75).encode()),
    "master key": (MasterKey.from_json, MasterKey(b"e" * 32, b"k" * 16, b"r" * 16).to_json()),
    "box": (SEALER.open, SEALER.seal(PLAIN)),
    "pack": (lambda data: read_header(data, len(data), SEALER), _pack()),
    "frame": (_decompress, Compressor().compress(PLAIN) or b""),
    "unpacked": (unpack_unpacked, pack_unpacked(PLAIN)),
}
JSON_KINDS = ("tree", "index", "snapshot", "lock", "key", "config", "master key")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", GOOD)
def test_the_examples_are_good(kind: str) -> None:
    read, data = GOOD[kind]
    assert read(data)


@pytest.mark.parametrize("kind", GOOD)
@given(data=st.binary(max_size=300))
@example(data=b"[" * 5000)
@example(data=b'{"a":' * 5000)
@example(data=b"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00")
def test_arbitrary_bytes(kind: str, data: bytes) -> None:
    with suppress(FormatError):
        GOOD[kind][0](data)


@pytest.mark.parametrize("kind", GOOD)
@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), put=st.binary(max_size=5), drop=st.integers(0, 5))
def test_changed_bytes(kind: str, cut: int, at: int, put: bytes, drop: int) -> None:
    read, good = GOOD[kind]
    at %= len(good)
    with suppress(FormatError):
        read((good[:at] + put + good[at + drop :])[: max(0, len(good) - cut % 50)])


@pytest.mark.parametrize("kind", JSON_KINDS)
@given(choice=st.integers(0, 200), value=json_values)
def test_json_with_another_value_somewhere(kind: str, choice: int, value: Any) -> None:
    read, good = GOOD[kind]
    changed = json.loads(good)
    places = list(_places(changed))
    holder, key = places[choice % len(places)]
    holder[key] = value
    with suppress(FormatError):
        read(json.dumps(changed).encode())


def _places(value: Any) -> Any:
    """Every (container, key) in a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(inner)


@given(st.binary(max_size=60), st.integers(0, 1 << 33))
def test_headers_that_are_authentic_but_arbitrary(header: bytes, size: int) -> None:
    box = SEALER.seal(header)
    with suppress(Corrupt):
        read_header(box + struct.pack("<I", len(box)), size, SEALER)


@given(st.text(max_size=40) | st.from_regex(r"[0-9TZ:.+-]{0,40}"))
def test_arbitrary_text(text: str) -> None:
    for read in (unquote, parse_time, parse_datetime, from_hex):
        with suppress(Corrupt):
            read(text)


@given(st.from_regex(r'\\[abfnrtvxuU"\\0-9][0-9a-fA-F]{0,8}', fullmatch=True))
def test_arbitrary_escapes(text: str) -> None:
    with suppress(Corrupt):
        unquote(text)
