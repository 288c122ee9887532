"""Whatever is encoded comes back the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from backup_core.format.cipher import OVERHEAD, MasterKey, Sealer
from backup_core.format.compression import Compressor, Decompressor, pack_unpacked, unpack_unpacked
from backup_core.format.go_text import json_bytes, json_name, json_text, quote, unquote
from backup_core.format.go_time import format_datetime, format_time, parse_datetime, parse_time
from backup_core.format.index_file import decode_index, encode_index
from backup_core.format.lock_file import LockFile
from backup_core.format.pack import PackBuilder, pack_size_of, read_header
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.format.tree import Node, decode_tree, encode_node, encode_tree, go_mode, unix_mode
from backup_core.types import BlobId, BlobType, PackedBlob, PackId, SnapshotId, TreeId

SEALER = Sealer(MasterKey(b"e" * 32, b"k" * 16, b"r" * 16))

ids = st.binary(min_size=32, max_size=32)
blob_ids = ids.map(BlobId)
uint32 = st.integers(0, (1 << 32) - 1)
uint64 = st.integers(0, (1 << 64) - 1)
zones = st.sampled_from((UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")))
whole_minutes = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
YEAR_ZERO, YEAR_TEN_THOUSAND = -62_167_219_200, 253_402_300_800
nanoseconds = st.integers((YEAR_ZERO + 86400) * 10**9, (YEAR_TEN_THOUSAND - 86400) * 10**9)
# Since 1973 all zones are whole minutes off, so no time loses anything when it is written.
recent = st.integers(100_000_000 * 10**9, 5_000_000_000 * 10**9)
local_moments = st.datetimes(datetime(1973, 1, 1), datetime(2100, 1, 1), timezones=zones)
moments = local_moments.map(lambda moment: moment.astimezone(UTC))
names = st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
utf8 = text.map(str.encode)
packed = st.builds(PackedBlob, blob_ids, st.sampled_from(BlobType), uint32, st.integers(32, (1 << 32) - 1), uint32)
nodes = st.builds(
    Node,
    name=names,
    type=st.sampled_from(("file", "dir", "symlink", "dev", "chardev", "fifo", "socket")),
    mode=uint32,
    mtime_ns=recent,
    atime_ns=recent,
    ctime_ns=recent,
    uid=uint32,
    gid=uint32,
    user=text,
    group=text,
    inode=uint64,
    device_id=uint64,
    size=uint64,
    links=uint64,
    linktarget=st.none() | st.binary(min_size=1, max_size=60),
    extended_attributes=st.lists(st.tuples(utf8, st.binary(max_size=40)), max_size=3).map(tuple),
    device=uint64,
    content=st.none() | st.lists(blob_ids, max_size=3).map(tuple),
    subtree=st.none() | blob_ids.map(TreeId),
    error=text,
)


@given(st.binary())
def test_any_bytes_survive_quoting(name: bytes) -> None:
    assert unquote(quote(name)) == name
    assert json.loads(json_name(name)) == quote(name)
    assert quote(name).isprintable() or max(map(ord, quote(name))) > 0x7F


@given(text)
def test_any_text_survives_json(value: str) -> None:
    assert json.loads(json_text(value)) == value
    assert json_bytes(value.encode()) == json_text(value)


@given(nanoseconds, whole_minutes)
def test_times_survive(value: int, zone: timezone) -> None:
    assert parse_time(format_time(value, zone)) == value


@given(recent, zones)
def test_times_are_those_of_datetime(value: int, zone: ZoneInfo) -> None:
    written = format_time(value, zone)
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value // 10**9)).astimezone(zone)
    assert written.startswith(moment.strftime("%Y-%m-%dT%H:%M:%S"))
    assert parse_time(written) == value


@given(st.integers(-(1 << 70), 1 << 70), zones)
def test_any_number_becomes_a_time_that_can_be_read(value: int, zone: ZoneInfo) -> None:
    assert isinstance(parse_time(format_time(value, zone)), int)


@given(local_moments)
def test_datetimes_survive(moment: datetime) -> None:
    # Compared in UTC: Python calls no two times equal where clocks are set back.
    assert parse_datetime(format_datetime(moment)).astimezone(UTC) == moment.astimezone(UTC)


@given(st.binary(max_size=5000))
def test_boxes_open(plain: bytes) -> None:
    box = SEALER.seal(plain)
    assert len(box) == len(plain) + OVERHEAD
    assert SEALER.open(box) == plain


@given(st.binary(max_size=3000), st.integers(1, 60), st.integers(1, 9))
def test_compression_is_undone(part: bytes, times: int, level: int) -> None:
    data = part * times
    frame = Compressor(level).compress(data)
    if frame is not None:
        assert len(frame) < len(data)
        assert Decompressor().decompress(frame, len(data)) == data
    assert unpack_unpacked(pack_unpacked(data)) == data


@given(
    st.lists(st.tuples(blob_ids, st.sampled_from(BlobType), st.binary(max_size=200), uint32), min_size=1, max_size=30)
)
def test_packs_read_back(contents: list[tuple[BlobId, BlobType, bytes, int]]) -> None:
    buffer = bytearray(30 * 300 + 100)
    builder = PackBuilder(buffer, SEALER)
    for content in contents:
        builder.add(*content)
    finished = builder.finish()
    assert finished.size == pack_size_of(finished.blobs)
    assert read_header(buffer[: finished.size], finished.size, SEALER) == list(finished.blobs)
    for blob, (_, _, payload, _) in zip(finished.blobs, contents, strict=True):
        assert SEALER.open(buffer[blob.offset : blob.offset + blob.length]) == payload


@given(st.lists(st.tuples(ids.map(PackId), st.lists(packed, max_size=5)), max_size=5))
def test_indexes_read_back(packs: list[tuple[PackId, list[PackedBlob]]]) -> None:
    assert list(decode_index(encode_index(packs))) == packs


@given(st.lists(nodes, max_size=6, unique_by=lambda node: node.name), zones)
def test_trees_read_back(entries: list[Node], zone: ZoneInfo) -> None:
    entries.sort(key=lambda node: node.name)
    written = encode_tree([encode_node(node, zone) for node in entries])
    assert decode_tree(written) == entries
    json.loads(written)


@given(uint32)
def test_modes_settle(mode: int) -> None:
    st_mode = unix_mode(mode)
    assert unix_mode(go_mode(st_mode)) == st_mode


@given(
    st.builds(
        Snapshot,
        time=moments,
        tree=blob_ids.map(TreeId),
        paths=st.lists(text, max_size=3).map(tuple),
        parent=st.none() | ids.map(bytes.hex).map(SnapshotId),
        hostname=text,
        username=text,
        uid=uint32,
        gid=uint32,
        excludes=st.lists(text, max_size=3).map(tuple),
        tags=st.lists(text, max_size=3).map(tuple),
        original=st.none() | ids.map(bytes.hex).map(SnapshotId),
        program_version=text,
        summary=st.none() | st.builds(SnapshotSummary, moments, moments, *[uint64] * 12),
    )
)
def test_snapshots_read_back(snapshot: Snapshot) -> None:
    read = Snapshot.decode(snapshot.encode())
    assert read.encode() == snapshot.encode()
    for field in ("time", "tree", "paths", "parent", "hostname", "uid", "excludes", "tags", "original"):
        assert getattr(read, field) == getattr(snapshot, field)


@given(st.builds(LockFile, moments, st.booleans(), text, text, st.integers(0, 1 << 31), uint32, uint32))
def test_locks_read_back(lock: LockFile) -> None:
    assert LockFile.decode(lock.encode()) == lock
