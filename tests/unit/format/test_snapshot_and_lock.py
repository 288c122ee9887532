"""Snapshots and locks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backup_core.errors import Corrupt
from backup_core.format.lock_file import LockFile
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.types import BlobId, SnapshotId, TreeId

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)
TREE = TreeId(BlobId(bytes(range(32))))
FULL = Snapshot(
    time=NOW,
    parent=SnapshotId("ab" * 32),
    tree=TREE,
    paths=("/srv/<me>", "/srv/重要"),
    hostname="host",
    username="me",
    uid=1000,
    gid=100,
    excludes=("*.tmp",),
    tags=("davault", "kind:full"),
    original=SnapshotId("cd" * 32),
    program_version="davault 0.1.0",
    summary=SnapshotSummary(NOW, NOW + timedelta(seconds=1), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
)
FULL_TEXT = (
    f'{{"time":"2026-03-04T05:06:07.891Z","parent":"{"ab" * 32}","tree":"{TREE.hex()}",'
    '"paths":["/srv/\\u003cme\\u003e","/srv/重要"],"hostname":"host","username":"me","uid":1000,"gid":100,'
    f'"excludes":["*.tmp"],"tags":["davault","kind:full"],"original":"{"cd" * 32}",'
    '"program_version":"davault 0.1.0","summary":{"backup_start":"2026-03-04T05:06:07.891Z",'
    '"backup_end":"2026-03-04T05:06:08.891Z","files_new":1,"files_changed":2,"files_unmodified":3,"dirs_new":4,'
    '"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,"tree_blobs":8,"data_added":9,"data_added_packed":10,'
    '"total_files_processed":11,"total_bytes_processed":12}}'
)


def test_a_snapshot_is_written_as_restic_does() -> None:
    assert FULL.encode().decode() == FULL_TEXT


def test_a_bare_snapshot() -> None:
    text = f'{{"time":"2026-03-04T05:06:07.891Z","tree":"{TREE.hex()}","paths":["/"]}}'
    bare = Snapshot(time=NOW, tree=TREE, paths=("/",))
    assert bare.encode().decode() == text
    assert Snapshot.decode(text.encode()).summary is None


def test_a_snapshot_reads_back() -> None:
    read = Snapshot.decode(FULL.encode(), SnapshotId("ef" * 32))
    assert read.encode() == FULL.encode()
    assert (read.id, read.time, read.tree, read.parent) == ("ef" * 32, NOW, TREE, FULL.parent)
    assert read.tags == FULL.tags
    assert read.summary is not None
    assert read.summary.total_bytes_processed == 12


def test_all_digits_of_a_time_are_kept() -> None:
    text = FULL_TEXT.replace("07.891Z", "07.123456789+02:00").encode()
    read = Snapshot.decode(text)
    assert read.time.microsecond == 123_456
    assert read.encode() == text


@pytest.mark.parametrize(
    "changes",
    [
        {"time": None},
        {"time": "yesterday"},
        {"tree": None},
        {"tree": "ab"},
        {"tree": 7},
        {"parent": "latest"},
        {"original": 1},
        {"paths": "/srv"},
        {"paths": [7]},
        {"hostname": 7},
        {"uid": -1},
        {"gid": 1 << 32},
        {"tags": {"a": 1}},
        {"excludes": 7},
        {"summary": 7},
        {"summary": {}},
        {"summary": {"backup_start": "2026-03-04T05:06:07Z", "backup_end": "2026-03-04T05:06:07Z", "files_new": -1}},
        {"program_version": []},
    ],
)
def test_snapshots_that_cannot_be_are_corrupt(changes: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps(json.loads(FULL_TEXT) | changes).encode())


def test_lists_may_be_null() -> None:
    fields = json.loads(FULL_TEXT) | {"paths": None, "tags": None, "excludes": None, "summary": None}
    read = Snapshot.decode(json.dumps(fields).encode())
    assert (read.paths, read.tags, read.excludes, read.summary) == ((), (), (), None)


LOCK = LockFile(time=NOW, exclusive=True, hostname="host", username="me", pid=4711, uid=1000, gid=0)


def test_a_lock_is_written_as_restic_does() -> None:
    assert LOCK.encode().decode() == (
        '{"time":"2026-03-04T05:06:07.891Z","exclusive":true,"hostname":"host","username":"me","pid":4711,"uid":1000}'
    )
    assert LockFile.decode(LOCK.encode()) == LOCK


@pytest.mark.parametrize(
    "changes", [{"time": 7}, {"exclusive": "no"}, {"exclusive": None}, {"pid": "1"}, {"pid": -1}, {"hostname": []}]
)
def test_locks_that_cannot_be_are_corrupt(changes: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        LockFile.decode(json.dumps(json.loads(LOCK.encode()) | changes).encode())
