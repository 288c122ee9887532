"""A repository put together with the format storey alone is whole and readable for restic."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.compression import Compressor, pack_unpacked
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.ids import blob_id, sha256, to_hex
from backup_core.format.index_file import encode_index
from backup_core.format.key_file import KeyFile
from backup_core.format.layout import DIRECTORIES, FileKind, file_name, pack_name
from backup_core.format.lock_file import LockFile
from backup_core.format.pack import FinishedPack, PackBuilder
from backup_core.format.snapshot import Snapshot, SnapshotSummary
from backup_core.format.tree import Node, encode_node, encode_tree, go_mode
from backup_core.types import BlobId, BlobType, PackId, Secret, TreeId

pytestmark = pytest.mark.restic

PASSWORD = "a password"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NANOSECONDS = 1_700_000_000_123_456_789
CONTENTS = {b"long": b"words and more words " * 5000, b"random": os.urandom(3000), b"short": b"x"}
BYTES_NAME = b"caf\xe9 <\n>"


class Writer:
    """The least that makes a repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        master = MasterKey.generate(os.urandom)
        self.sealer = Sealer(master)
        for directory in DIRECTORIES:
            (root / directory).mkdir(parents=True)
        (root / "config").write_bytes(self.sealer.seal(RepositoryConfig.generate(os.urandom).encode()))
        key = KeyFile.make(
            Secret(PASSWORD), master, created=NOW, username="me", hostname="here", salt=os.urandom(64)
        ).encode()
        self._write(file_name(FileKind.KEY, to_hex(sha256(key))), key)

    def _write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def unpacked(self, kind: FileKind, json: bytes) -> str:
        box = self.sealer.seal(pack_unpacked(json))
        name = to_hex(sha256(box))
        self._write(file_name(kind, name), box)
        return name

    def pack(self, type: BlobType, blobs: list[bytes]) -> FinishedPack:
        buffer = bytearray(sum(map(len, blobs)) + 100 * len(blobs) + 100)
        builder = PackBuilder(buffer, self.sealer)
        compressor = Compressor()
        for blob in blobs:
            frame = compressor.compress(blob)
            builder.add(blob_id(blob), type, frame or blob, len(blob) if frame else 0)
        finished = builder.finish()
        self._write(pack_name(finished.id), bytes(buffer[: finished.size]))
        return finished


def directory_text() -> bytes:
    times = {"mtime_ns": NANOSECONDS, "atime_ns": NANOSECONDS, "ctime_ns": NANOSECONDS}
    nodes = [
        Node(name, "file", go_mode(0o100640), **times, size=len(content), content=(blob_id(content),))
        for name, content in CONTENTS.items()
    ]
    nodes += [Node(b"link", "symlink", go_mode(0o120777), **times, linktarget=b"tar\xffget")]
    nodes += [replace(nodes[0], name=BYTES_NAME), Node(b"empty", "file", go_mode(0o104755), **times, content=())]
    return encode_tree([encode_node(node, UTC) for node in sorted(nodes, key=lambda node: node.name)])


@pytest.fixture
def repository(tmp_path: Path) -> Writer:
    writer = Writer(tmp_path / "repository")
    below = directory_text()
    top = Node(b"srv", "dir", go_mode(0o040755), NANOSECONDS, NANOSECONDS, NANOSECONDS, subtree=TreeId(blob_id(below)))
    root = encode_tree([encode_node(top, UTC)])
    packs = [writer.pack(BlobType.DATA, list(CONTENTS.values())), writer.pack(BlobType.TREE, [below, root])]
    writer.unpacked(FileKind.INDEX, encode_index([(pack.id, pack.blobs) for pack in packs]))
    snapshot = Snapshot(
        NOW,
        TreeId(blob_id(root)),
        ("/srv",),
        hostname="here",
        username="me",
        tags=("davault",),
        summary=SnapshotSummary(NOW, NOW + timedelta(seconds=2), files_new=5),
    )
    writer.unpacked(FileKind.SNAPSHOT, snapshot.encode())
    return writer


def test_check_finds_nothing(restic: Any, repository: Writer) -> None:
    answer = restic.check(repository.root, password=PASSWORD)
    assert "no errors were found" in answer


def test_restic_restores_it(restic: Any, repository: Writer, tmp_path: Path) -> None:
    target = tmp_path / "target"
    restic.run("restore", "latest", "--target", target, repository=repository.root, password=PASSWORD)
    assert {os.fsencode(path.name) for path in (target / "srv").iterdir()} == {
        *CONTENTS,
        b"link",
        b"empty",
        BYTES_NAME,
    }
    for name, content in CONTENTS.items():
        assert (target / "srv" / os.fsdecode(name)).read_bytes() == content
    facts = (target / "srv" / "empty").stat()
    assert (facts.st_mode, facts.st_mtime_ns) == (0o104755, NANOSECONDS)
    if restic.knows_empty_passwords:  # as do link targets that are not UTF-8: restic before 0.16 loses them
        assert os.readlink(os.fsencode(target / "srv" / "link")) == b"tar\xffget"


def test_restic_lists_the_snapshot(restic: Any, repository: Writer) -> None:
    (listed,) = restic.json("snapshots", repository=repository.root, password=PASSWORD)
    assert (listed["hostname"], listed["tags"], listed["paths"]) == ("here", ["davault"], ["/srv"])


def test_restic_obeys_an_exclusive_lock(restic: Any, repository: Writer) -> None:
    now = datetime.now(UTC)
    lock = LockFile(time=now, exclusive=True, hostname="elsewhere", username="me", pid=4711)
    repository.unpacked(FileKind.LOCK, lock.encode())
    refused = restic.run("check", repository=repository.root, password=PASSWORD, check=False)
    assert refused.returncode != 0
    assert "elsewhere" in refused.stderr


def test_restic_finds_damage(restic: Any, repository: Writer) -> None:
    """Else the clean answers above would mean nothing."""
    for path in (repository.root / "data").rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[40] ^= 1
            path.write_bytes(content)
    broken = restic.run("check", "--read-data", repository=repository.root, password=PASSWORD, check=False)
    assert broken.returncode != 0


def test_more_blobs_than_restic_puts_into_one_index(restic_new: Any, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "repository")
    packs: list[tuple[PackId, Any]] = []
    ids: list[BlobId] = []
    for start in range(0, 60_000, 10_000):
        pack = writer.pack(BlobType.DATA, [number.to_bytes(4, "big") for number in range(start, start + 10_000)])
        packs.append((pack.id, pack.blobs))
        ids += [blob.id for blob in pack.blobs]
    node = Node(b"file", "file", go_mode(0o100644), size=4 * len(ids), content=tuple(ids))
    tree = encode_tree([encode_node(node, UTC)])
    pack = writer.pack(BlobType.TREE, [tree])
    packs.append((pack.id, pack.blobs))
    writer.unpacked(FileKind.INDEX, encode_index(packs))
    writer.unpacked(FileKind.SNAPSHOT, Snapshot(NOW, TreeId(blob_id(tree)), ("/",)).encode())
    assert "no errors" in restic_new.check(writer.root, password=PASSWORD)
