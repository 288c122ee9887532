"""Index files: read in both versions, written in one, distrusted throughout."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backup_core.errors import Corrupt
from backup_core.format.ids import sha256
from backup_core.format.index_file import decode_index, encode_index
from backup_core.types import BlobId, BlobType, PackedBlob, PackId

PACK = PackId(sha256(b"pack"))
BLOBS = [
    PackedBlob(BlobId(sha256(b"1")), BlobType.DATA, 0, 100, 0),
    PackedBlob(BlobId(sha256(b"2")), BlobType.DATA, 100, 60, 300),
    PackedBlob(BlobId(sha256(b"3")), BlobType.TREE, 160, (1 << 32) - 200, (1 << 32) - 1),
]
ENTRY = {"id": "ab" * 32, "type": "data", "offset": 0, "length": 40, "uncompressed_length": 90}


def test_an_index_reads_back() -> None:
    packs = [(PACK, BLOBS), (PackId(sha256(b"other")), BLOBS[:1])]
    assert list(decode_index(encode_index(packs))) == packs


def test_the_text_is_that_of_restic() -> None:
    text = encode_index([(PACK, BLOBS[1:2])]).decode()
    assert text == (
        f'{{"packs":[{{"id":"{PACK.hex()}","blobs":[{{"id":"{BLOBS[1].id.hex()}","type":"data",'
        '"offset":100,"length":60,"uncompressed_length":300}]}]}\n'
    )
    assert b"uncompressed_length" not in encode_index([(PACK, BLOBS[:1])])


@pytest.mark.parametrize("text", [b'{"packs":[]}', b'{"packs":null}', b"[]", encode_index([])])
def test_an_empty_index_holds_nothing(text: bytes) -> None:
    assert list(decode_index(text)) == []


def test_old_forms_are_read() -> None:
    packs = json.loads(encode_index([(PACK, BLOBS)]))["packs"]
    with_supersedes = {"supersedes": ["cd" * 32], "packs": packs, "unknown": {}}
    assert list(decode_index(json.dumps(with_supersedes).encode())) == [(PACK, BLOBS)]
    assert list(decode_index(json.dumps(packs).encode())) == [(PACK, BLOBS)]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "ab"},
        {"id": None},
        {"type": "file"},
        {"type": None},
        {"type": []},
        {"offset": -1},
        {"offset": 1 << 32},
        {"offset": 1.5},
        {"offset": "0"},
        {"offset": None},
        {"length": 31},
        {"length": -40},
        {"length": 1 << 63},
        {"uncompressed_length": -1},
        {"uncompressed_length": "90"},
    ],
)
def test_entries_that_cannot_be_are_corrupt(change: dict[str, Any]) -> None:
    good = {"packs": [{"id": PACK.hex(), "blobs": [ENTRY]}]}
    assert len(list(decode_index(json.dumps(good).encode()))) == 1
    bad = {"packs": [{"id": PACK.hex(), "blobs": [ENTRY | change]}]}
    with pytest.raises(Corrupt):
        list(decode_index(json.dumps(bad).encode()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}",
        b"7",
        b'"packs"',
        b'{"packs":{}}',
        b'{"packs":[7]}',
        b'{"packs":[null]}',
        b'{"packs":[{"id":"%s"}]}' % (b"ab" * 32),
        b'{"packs":[{"id":"%s","blobs":7}]}' % (b"ab" * 32),
        b'{"packs":[{"id":"%s","blobs":[[]]}]}' % (b"ab" * 32),
        b'{"packs":[{"id":"xy","blobs":[]}]}',
        b"\xff\xfe",
    ],
)
def test_nonsense_is_corrupt(text: bytes) -> None:
    with pytest.raises(Corrupt):
        list(decode_index(text))


@pytest.mark.parametrize("field", ["id", "type", "offset", "length"])
def test_no_field_may_be_missing(field: str) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != field}
    with pytest.raises(Corrupt):
        list(decode_index(json.dumps([{"id": PACK.hex(), "blobs": [entry]}]).encode()))
