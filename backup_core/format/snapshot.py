"""Snapshot files: one state of the source, as JSON. The keys and their order are restic's."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt
from backup_core.format.go_text import json_text
from backup_core.format.go_time import format_datetime, parse_datetime
from backup_core.format.ids import to_hex
from backup_core.format.json_fields import UINT32, id_of, integer_of, object_of, parse_object, text_of, texts_of
from backup_core.types import BlobId, Buffer, SnapshotId, TreeId

_KIND = "snapshot"
_UNNAMED = SnapshotId("")


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """What a backup counted. Written by restic from 0.17 on; sizes in bytes."""

    backup_start: datetime
    backup_end: datetime
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    data_added: int = 0
    """Plaintext of the new blobs."""
    data_added_packed: int = 0
    """The same as stored."""
    total_files_processed: int = 0
    total_bytes_processed: int = 0
    start_text: str = ""
    """As ``Snapshot.time_text``."""
    end_text: str = ""


_COUNTERS = tuple(field.name for field in fields(SnapshotSummary) if field.type == "int")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One backup: a tree and where it came from."""

    time: datetime
    tree: TreeId
    paths: tuple[str, ...]
    """Absolute paths of the sources."""
    parent: SnapshotId | None = None
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    original: SnapshotId | None = None
    """The snapshot that this one is a rewritten copy of."""
    program_version: str = ""
    summary: SnapshotSummary | None = None
    time_text: str = ""
    """``time`` as it was read, with all its digits; written again instead of ``time`` unless it is empty."""
    id: SnapshotId = _UNNAMED
    """Name of its file, "" while it has none. Not part of the JSON."""

    def encode(self) -> bytes:
        """The JSON. Fields of other programs, which restic does not know either, are gone."""
        parts = [f'"time":"{self.time_text or format_datetime(self.time)}"']
        if self.parent is not None:
            parts.append(f'"parent":"{self.parent}"')
        parts.append(f'"tree":"{to_hex(self.tree)}"')
        parts.append(f'"paths":{_json_texts(self.paths)}')
        for key, text in (("hostname", self.hostname), ("username", self.username)):
            if text:
                parts.append(f'"{key}":{json_text(text)}')
        for key, number in (("uid", self.uid), ("gid", self.gid)):
            if number:
                parts.append(f'"{key}":{number}')
        for key, texts in (("excludes", self.excludes), ("tags", self.tags)):
            if texts:
                parts.append(f'"{key}":{_json_texts(texts)}')
        if self.original is not None:
            parts.append(f'"original":"{self.original}"')
        if self.program_version:
            parts.append(f'"program_version":{json_text(self.program_version)}')
        if self.summary is not None:
            parts.append(f'"summary":{_encode_summary(self.summary)}')
        return f"{{{','.join(parts)}}}".encode()

    @classmethod
    def decode(cls, data: Buffer, id: SnapshotId = _UNNAMED) -> Snapshot:
        """Read the JSON of the file named ``id``. Raises ``Corrupt``."""
        record = parse_object(data, _KIND)
        tree = id_of(record, "tree", _KIND)
        if tree is None:
            raise Corrupt("the snapshot names no tree", kind=_KIND, object_id=id)
        time_text = text_of(record, "time", _KIND, required=True)
        return cls(
            time=parse_datetime(time_text),
            tree=TreeId(BlobId(tree)),
            paths=texts_of(record, "paths", _KIND),
            parent=_snapshot_id(id_of(record, "parent", _KIND)),
            hostname=text_of(record, "hostname", _KIND),
            username=text_of(record, "username", _KIND),
            uid=integer_of(record, "uid", _KIND, limit=UINT32),
            gid=integer_of(record, "gid", _KIND, limit=UINT32),
            excludes=texts_of(record, "excludes", _KIND),
            tags=texts_of(record, "tags", _KIND),
            original=_snapshot_id(id_of(record, "original", _KIND)),
            program_version=text_of(record, "program_version", _KIND),
            summary=_decode_summary(record) if record.get("summary") is not None else None,
            time_text=time_text,
            id=id,
        )


def _snapshot_id(raw: bytes | None) -> SnapshotId | None:
    return None if raw is None else SnapshotId(to_hex(raw))


def _json_texts(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(json_text, texts))}]"


def _encode_summary(summary: SnapshotSummary) -> str:
    start = summary.start_text or format_datetime(summary.backup_start)
    end = summary.end_text or format_datetime(summary.backup_end)
    counters = ",".join(f'"{name}":{getattr(summary, name)}' for name in _COUNTERS)
    return f'{{"backup_start":"{start}","backup_end":"{end}",{counters}}}'


def _decode_summary(record: dict[str, object]) -> SnapshotSummary:
    summary = object_of(record, "summary", _KIND)
    start = text_of(summary, "backup_start", _KIND, required=True)
    end = text_of(summary, "backup_end", _KIND, required=True)
    counters = {name: integer_of(summary, name, _KIND) for name in _COUNTERS}
    return SnapshotSummary(parse_datetime(start), parse_datetime(end), **counters, start_text=start, end_text=end)
