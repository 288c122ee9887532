"""One record as plain values: what is in it, how it is written, and how one of any version is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, NamedTuple

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt

VERSION = 1
"""Goes up when a reader of today would misunderstand a record of tomorrow; new fields alone are no reason."""


class KnownSnapshot(NamedTuple):
    """A snapshot that was there when the record was written."""

    snapshot_id: str
    backup_id: str
    configuration: str
    created_at: str
    """ISO 8601 with offset."""


@dataclass(frozen=True)
class RecordDocument:
    """What an installation knows about one repository that the repository's snapshots do not tell."""

    repository_id: str
    writer: str
    """16 hex digits of the installation."""
    hostname: str
    written_at: str
    """ISO 8601 with offset."""
    program: str
    """Name and version of what wrote it."""
    clients: tuple[dict[str, Any], ...] = ()
    """``ClientConfig.record()`` of the accounts through which it is reached: references, never secrets."""
    configurations: tuple[dict[str, Any], ...] = ()
    """``BackupConfig.record()`` of those that store here."""
    snapshots: tuple[KnownSnapshot, ...] = ()
    areas: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Name of an area -> its rows; see ``areas``."""
    version: int = VERSION

    def encode(self) -> bytes:
        """The record as JSON."""
        values = asdict(self) | {"snapshots": [list(s) for s in self.snapshots]}
        return json.dumps(values, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()


def decode(text: bytes) -> RecordDocument:
    """Read a record; what is missing is empty, and what this version does not know is passed over.

    Raises ``Corrupt`` for what is no record, or one that only a newer version understands.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"a record is no JSON: {error}", kind="record") from error
    if not isinstance(values, dict):
        raise Corrupt("a record is not an object", kind="record")
    version = values.get("version", 1)
    if not isinstance(version, int) or version > VERSION:
        raise Corrupt(
            f"a record has version {version!r}, which a newer version of this program wrote; use that one",
            kind="record",
        )
    areas, snapshots = values.get("areas"), values.get("snapshots")
    return RecordDocument(
        repository_id=_text(values, "repository_id"),
        writer=_text(values, "writer"),
        hostname=_text(values, "hostname"),
        written_at=_text(values, "written_at"),
        program=_text(values, "program"),
        clients=_objects(values.get("clients")),
        configurations=_objects(values.get("configurations")),
        snapshots=tuple(
            KnownSnapshot(*map(str, s[:4]))
            for s in (snapshots if isinstance(snapshots, list) else ())
            if isinstance(s, list) and len(s) > 3
        ),
        areas={str(k): list(_objects(v)) for k, v in areas.items()} if isinstance(areas, dict) else {},
        version=version,
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _objects(value: Any) -> tuple[dict[str, Any], ...]:
    return tuple(v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()
