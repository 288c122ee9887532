"""Trees: the JSON of one directory. A tree's id is the hash of this text, so it is written exactly as restic does.

``{"nodes":[N,N,...]}`` and a line feed; nodes ascend by the bytes of their names. Keys have a fixed order and are left
out when zero or empty, but for a few. "Trees and Data" in the design document of restic; its Go structures decide.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt
from backup_core.format.file_mode import go_mode, unix_mode
from backup_core.format.go_text import json_bytes, json_name, json_text, unquote
from backup_core.format.go_time import parse_time, time_format
from backup_core.format.ids import from_hex
from backup_core.format.json_fields import UINT32, UINT64, parse
from backup_core.types import BlobId, Buffer, TreeId

__all__ = [
    "NODE_TYPES",
    "Node",
    "decode_tree",
    "encode_node",
    "encode_tree",
    "go_mode",
    "split_tree",
    "unix_mode",
]

NODE_TYPES = frozenset(("file", "dir", "symlink", "dev", "chardev", "fifo", "socket"))
"""The values of ``Node.type`` that are known. A reader may meet others and must say so."""

_BEFORE_NODES, _AFTER_NODES, _NODE = b'{"nodes":[', b"]}\n", b'{"name":"'
_BAD_NAMES = frozenset((b"", b".", b".."))


@dataclass(slots=True)
class Node:
    """One entry of a directory. Zero and empty stand for "not recorded"."""

    name: bytes
    type: str
    mode: int = 0
    """Go's FileMode: see ``go_mode`` and ``unix_mode``."""
    mtime_ns: int = 0
    """Times are nanoseconds since the epoch."""
    atime_ns: int = 0
    ctime_ns: int = 0
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    """st_dev, the file system it was on."""
    size: int = 0
    """Bytes, of files only."""
    links: int = 0
    linktarget: bytes | None = None
    extended_attributes: tuple[tuple[bytes, bytes], ...] = ()
    """Names and values in the order the system lists them. Names that are not UTF-8 do not survive."""
    device: int = 0
    """st_rdev, of device files only."""
    content: tuple[BlobId, ...] | None = None
    """The file's chunks in order; None for everything but files."""
    subtree: TreeId | None = None
    """The directory's tree; None for everything but directories."""
    error: str = ""
    """What went wrong when it was backed up."""


# Types and owners are few, files are many.
_type_text = lru_cache(maxsize=16)(json_text)


@lru_cache(maxsize=1024)
def _owner_fields(user: str, group: str) -> str:
    user_field = f',"user":{json_text(user)}' if user else ""
    group_field = f',"group":{json_text(group)}' if group else ""
    return user_field + group_field


def encode_node(node: Node, zone: tzinfo) -> bytes:
    """The JSON of one node, its times in ``zone`` (restic writes them in the zone of the machine)."""
    write_time = time_format(zone)
    mtime_ns, atime_ns, ctime_ns = node.mtime_ns, node.atime_ns, node.ctime_ns
    mtime = write_time(mtime_ns)
    atime = mtime if atime_ns == mtime_ns else write_time(atime_ns)
    ctime = mtime if ctime_ns == mtime_ns else write_time(ctime_ns)
    mode = f',"mode":{node.mode}' if node.mode else ""
    text = (
        f'{{"name":{json_name(node.name)},"type":{_type_text(node.type)}{mode},"mtime":"{mtime}","atime":"{atime}",'
        f'"ctime":"{ctime}","uid":{node.uid},"gid":{node.gid}{_owner_fields(node.user, node.group)}'
    )
    if node.inode:
        text += f',"inode":{node.inode}'
    if node.device_id:
        text += f',"device_id":{node.device_id}'
    if node.size:
        text += f',"size":{node.size}'
    if node.links:
        text += f',"links":{node.links}'
    if node.linktarget:
        text += _link_fields(node.linktarget)
    if node.extended_attributes:
        text += _attribute_field(node.extended_attributes)
    if node.device:
        text += f',"device":{node.device}'
    text += _content_field(node.content)
    if node.subtree is not None:
        text += f',"subtree":"{node.subtree.hex()}"'
    if node.error:
        text += f',"error":{json_text(node.error)}'
    return (text + "}").encode("utf-8")


def _content_field(content: tuple[BlobId, ...] | None) -> str:
    if content is None:
        return ',"content":null'
    if not content:
        return ',"content":[]'
    ids = '","'.join([blob.hex() for blob in content])
    return f',"content":["{ids}"]'


def _link_fields(target: bytes) -> str:
    text = f',"linktarget":{json_bytes(target)}'
    try:
        target.decode("utf-8")
    except UnicodeDecodeError:
        text += f',"linktarget_raw":"{b64encode(target).decode("ascii")}"'
    return text


def _attribute_field(attributes: Sequence[tuple[bytes, bytes]]) -> str:
    texts = [
        f'{{"name":{json_bytes(name)},"value":"{b64encode(value).decode("ascii")}"}}' for name, value in attributes
    ]
    return f',"extended_attributes":[{",".join(texts)}]'


def encode_tree(nodes: Sequence[bytes]) -> bytes:
    """The tree of nodes that ``encode_node`` made, which must ascend by the bytes of their names."""
    return _BEFORE_NODES + b",".join(nodes) + _AFTER_NODES


def split_tree(text: bytes, count: int) -> list[bytes] | None:
    """What ``encode_tree`` was given for a tree of ``count`` nodes, without decoding it.

    None when that cannot be told: attributes begin as nodes do. In no text can a node seem to begin, since quotation
    marks in texts are escaped.
    """
    if not text.startswith(_BEFORE_NODES + _NODE) or not text.endswith(_AFTER_NODES):
        return None
    first, *others = text[len(_BEFORE_NODES) : -len(_AFTER_NODES)].split(b"," + _NODE)
    return [first, *[_NODE + other for other in others]] if len(others) + 1 == count else None


def decode_tree(data: Buffer) -> list[Node]:
    """The nodes of a tree, in its order.

    Raises ``Corrupt`` also for names that could lead out of the directory, that appear twice or out of order. Types of
    nodes and what belongs to which are not judged: one strange node must not cost its whole directory.
    """
    value = parse(data, "tree")
    entries = value.get("nodes") if isinstance(value, dict) else None
    if entries is None and isinstance(value, dict) and "nodes" in value:
        return []
    if not isinstance(entries, list):
        raise Corrupt("the tree holds no list of nodes", kind="tree")
    nodes: list[Node] = []
    last = b""
    for entry in entries:
        try:
            node = _decode_node(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt(f"the tree has a node that makes no sense: {error!r:.100}", kind="tree") from error
        name = node.name
        if name in _BAD_NAMES or b"/" in name or b"\0" in name:
            raise Corrupt(f"the tree has a node with the impossible name {name!r:.200}", kind="tree")
        if name <= last:
            raise Corrupt(f"the tree has {name!r:.200} twice or out of order", kind="tree")
        last = name
        nodes.append(node)
    return nodes


def _decode_node(entry: dict[str, Any]) -> Node:
    get = entry.get
    mode, uid, gid = get("mode", 0), entry["uid"], entry["gid"]
    inode, device_id, size, links, device = (
        get("inode", 0),
        get("device_id", 0),
        get("size", 0),
        get("links", 0),
        get("device", 0),
    )
    # One look at many numbers: "or" fails for what is no integer, and one negative number makes it negative.
    if not 0 <= mode | uid | gid < UINT32 or not 0 <= inode | device_id | size | links | device < UINT64:
        raise ValueError("a number is out of range")
    kind, user, group, error = entry["type"], get("user", ""), get("group", ""), get("error", "")
    if not type(kind) is type(user) is type(group) is type(error) is str:
        raise TypeError("a text is missing")
    mtime, atime, ctime = entry["mtime"], entry["atime"], entry["ctime"]
    mtime_ns = parse_time(mtime)
    atime_ns = mtime_ns if atime == mtime else parse_time(atime)
    ctime_ns = mtime_ns if ctime == mtime else parse_time(ctime)
    content, subtree, attributes = get("content"), get("subtree"), get("extended_attributes")
    return Node(
        unquote(entry["name"]),
        kind,
        mode,
        mtime_ns,
        atime_ns,
        ctime_ns,
        uid,
        gid,
        user,
        group,
        inode,
        device_id,
        size,
        links,
        _decode_target(entry) if "linktarget" in entry or "linktarget_raw" in entry else None,
        tuple([_decode_attribute(item) for item in attributes]) if attributes else (),
        device,
        None if content is None else tuple([BlobId(from_hex(item)) for item in content]),
        None if subtree is None else TreeId(BlobId(from_hex(subtree))),
        error,
    )


def _decode_target(entry: dict[str, Any]) -> bytes | None:
    raw: str | None = entry.get("linktarget_raw")
    if raw is not None:
        return a2b_base64(raw.encode("ascii"), strict_mode=True)
    target: str | None = entry["linktarget"]
    return None if target is None else target.encode("utf-8")


def _decode_attribute(item: dict[str, Any]) -> tuple[bytes, bytes]:
    name: str = item["name"]
    value: str | None = item["value"]
    return name.encode("utf-8"), b"" if value is None else a2b_base64(value.encode("ascii"), strict_mode=True)
