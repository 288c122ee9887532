"""Trees: exact text, everything kept, and names that could do harm refused."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backup_core.errors import Corrupt
from backup_core.format.ids import sha256
from backup_core.format.tree import (
    NODE_TYPES,
    Node,
    decode_tree,
    encode_node,
    encode_tree,
    go_mode,
    split_tree,
    unix_mode,
)
from backup_core.types import BlobId, TreeId

ONE, TWO = BlobId(sha256(b"1")), BlobId(sha256(b"2"))

FULL = Node(
    name=b"name",
    type="file",
    mode=0o644,
    mtime_ns=1_700_000_000_500_000_000,
    atime_ns=1,
    ctime_ns=2,
    uid=1000,
    gid=100,
    user="me",
    group="users",
    inode=7,
    device_id=2049,
    size=10,
    links=2,
    linktarget=b"t\xff",
    extended_attributes=((b"user.a", b"\x00\x01"), (b"user.empty", b"")),
    device=259,
    content=(ONE, TWO),
    subtree=TreeId(ONE),
    error="it <failed>",
)
FULL_TEXT = (
    '{"name":"name","type":"file","mode":420,"mtime":"2023-11-14T23:13:20.5+01:00",'
    '"atime":"1970-01-01T01:00:00.000000001+01:00","ctime":"1970-01-01T01:00:00.000000002+01:00",'
    '"uid":1000,"gid":100,"user":"me","group":"users","inode":7,"device_id":2049,"size":10,"links":2,'
    '"linktarget":"t\\ufffd","linktarget_raw":"dP8=",'
    '"extended_attributes":[{"name":"user.a","value":"AAE="},{"name":"user.empty","value":""}],"device":259,'
    f'"content":["{ONE.hex()}","{TWO.hex()}"],"subtree":"{ONE.hex()}","error":"it \\u003cfailed\\u003e"}}'
)
BARE_TEXT = (
    '{"name":"x","type":"dir","mtime":"1970-01-01T00:00:00Z","atime":"1970-01-01T00:00:00Z",'
    '"ctime":"1970-01-01T00:00:00Z","uid":0,"gid":0,"content":null}'
)


def tree_with(**changes: Any) -> bytes:
    """A tree of one node with some keys changed; a change to ``...`` removes the key."""
    node = json.loads(BARE_TEXT) | changes
    return json.dumps({"nodes": [{key: value for key, value in node.items() if value is not ...}]}).encode()


def test_all_fields_are_written_in_order() -> None:
    assert encode_node(FULL, ZoneInfo("Europe/Berlin")).decode() == FULL_TEXT


def test_empty_fields_are_left_out() -> None:
    assert encode_node(Node(b"x", "dir"), UTC).decode() == BARE_TEXT
    assert b'"content":[]' in encode_node(Node(b"x", "file", content=()), UTC)


def test_nodes_read_back() -> None:
    nodes = [FULL, Node(b"x", "dir"), Node(b"y", "file", content=())]
    assert decode_tree(encode_tree([encode_node(node, UTC) for node in nodes])) == nodes


def test_an_empty_tree() -> None:
    assert encode_tree([]) == b'{"nodes":[]}\n'
    assert decode_tree(b'{"nodes":[]}\n') == decode_tree(b'{"nodes":null}\n') == []


def test_keys_of_others_are_passed_over() -> None:
    assert decode_tree(tree_with(generic_attributes={"windows.creation_time": "AA=="}, novelty=[1])) == [
        Node(b"x", "dir")
    ]


def test_a_type_that_is_not_known_does_not_cost_the_directory() -> None:
    (node,) = decode_tree(tree_with(type="irregular"))
    assert node.type not in NODE_TYPES


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", "../x", "a\0b", "\\x2f", "\\x2e\\x2e", "\\000", "\\", 7, None]
)
def test_names_that_could_do_harm_are_corrupt(name: object) -> None:
    with pytest.raises(Corrupt):
        decode_tree(tree_with(name=name))


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"B"), ("é".encode(), b"z")])
def test_names_out_of_order_are_corrupt(names: tuple[bytes, bytes]) -> None:
    with pytest.raises(Corrupt, match="order"):
        decode_tree(encode_tree([encode_node(Node(name, "file"), UTC) for name in names]))


def test_order_is_that_of_bytes() -> None:
    names = [b"...", b"A", b"a", b"a b", b"a.b", b"\x7f", "é".encode(), "重".encode(), b"\xff"]
    assert [node.name for node in decode_tree(encode_tree([encode_node(Node(n, "dir"), UTC) for n in names]))] == names


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"type": ...},
        {"name": ...},
        {"mtime": ...},
        {"atime": "soon"},
        {"ctime": 7},
        {"uid": -1},
        {"uid": 1 << 32},
        {"gid": "root"},
        {"gid": ...},
        {"mode": 1 << 32},
        {"mode": 1.5},
        {"size": -1},
        {"size": 1 << 64},
        {"inode": "7"},
        {"links": []},
        {"device": None},
        {"device_id": {}},
        {"user": 7},
        {"group": ["g"]},
        {"error": False},
        {"content": "ab" * 32},
        {"content": ["ab"]},
        {"content": [7]},
        {"content": 7},
        {"subtree": "ab"},
        {"subtree": 7},
        {"linktarget": 7},
        {"linktarget_raw": "ä"},
        {"linktarget_raw": "A"},
        {"extended_attributes": 7},
        {"extended_attributes": [7]},
        {"extended_attributes": [{"name": "user.a"}]},
        {"extended_attributes": [{"name": 1, "value": ""}]},
        {"extended_attributes": [{"name": "user.a", "value": "A"}]},
    ],
)
def test_nodes_that_cannot_be_are_corrupt(changes: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        decode_tree(tree_with(**changes))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b'{"nodes":{}}', b'{"nodes":7}', b'{"nodes":[7]}', b'{"nodes":[]', b"\xff"]
)
def test_what_is_no_tree_is_corrupt(text: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_tree(text)


def test_a_link_target_that_is_text_is_kept_as_text() -> None:
    text = encode_node(Node(b"l", "symlink", linktarget="ziel/é".encode()), UTC)
    assert b"linktarget_raw" not in text
    assert decode_tree(encode_tree([text]))[0].linktarget == "ziel/é".encode()


def test_no_attribute_value_is_an_empty_one() -> None:
    (node,) = decode_tree(tree_with(extended_attributes=[{"name": "user.a", "value": None}]))
    assert node.extended_attributes == ((b"user.a", b""),)


@pytest.mark.parametrize(
    ("st_mode", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (stat.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o600, 1 << 24 | 0o600),
        (stat.S_IFREG | 0o4755, 1 << 23 | 0o755),
        (stat.S_IFREG | 0o2755, 1 << 22 | 0o755),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
    ],
)
def test_modes(st_mode: int, go: int) -> None:
    assert go_mode(st_mode) == go
    assert unix_mode(go) == st_mode


def test_a_mode_of_no_known_type_has_no_type_bits() -> None:
    assert unix_mode(1 << 19 | 0o600) == 0o600
    assert unix_mode(go_mode(0o600)) == 0o600


def test_the_mode_of_a_real_directory() -> None:
    mode = os.stat("/").st_mode
    assert unix_mode(go_mode(mode)) == mode


def test_a_tree_is_split_into_the_nodes_it_was_made_of() -> None:
    hostile = [b',{"name":"a', b'"},{"name":"b","type":"file"}', b"\\", b'\\"', "é\u2028".encode(), b"\xff", b"]}\n"]
    nodes = [
        encode_node(Node(name, "file", user=',{"name":"u', error='x"},{"name":"', linktarget=name), UTC)
        for name in sorted(hostile)
    ]
    nodes.append(encode_node(Node(b"\xfe", "file", extended_attributes=((b"user.a", b'},{"name":"'),)), UTC))
    assert split_tree(encode_tree(nodes), len(nodes)) == nodes
    assert split_tree(encode_tree(nodes[:1]), 1) == nodes[:1]


def test_a_tree_in_which_attributes_look_like_nodes_is_not_split() -> None:
    nodes = [encode_node(Node(b"a", "file"), UTC), encode_node(FULL, UTC)]
    assert split_tree(encode_tree(nodes), 2) is None
    for text in (b"", b"{}", encode_tree([]), json.dumps({"nodes": [{"name": "a"}]}).encode()):
        assert split_tree(text, 1) is None
