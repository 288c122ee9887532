"""The smaller parts of a backup."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.change_detection import choose_parent, is_unchanged
from backup_core.engine.local_zone import LocalZone
from backup_core.engine.roots import Root, Waypoint, absolute, resolve_sources
from backup_core.engine.selection import Selection
from backup_core.engine.source import list_directory, make_node
from backup_core.engine.tree_builder import Earlier, TreeBuilder
from backup_core.errors import SourceError
from backup_core.format.ids import blob_id
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, decode_tree
from backup_core.types import BlobId, SnapshotId, TreeId

TREE = TreeId(BlobId(bytes(32)))
START = datetime(2026, 1, 1, tzinfo=UTC)


def options(**wishes: Any) -> BackupOptions:
    base = {"sources": ("/x",), "kind": "full", "hostname": "h", "username": "u", "backup_id": "i"}
    return BackupOptions(**(base | wishes))


def snapshot(day: int, *paths: str, host: str = "h", tags: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(
        START + timedelta(days=day), TREE, paths or ("/a",), hostname=host, tags=tags, id=SnapshotId(f"s{day}")
    )


@pytest.mark.parametrize(
    ("snapshots", "expected"),
    [
        ([], None),
        ([snapshot(1), snapshot(2)], "s2"),
        ([snapshot(1), snapshot(2, host="other")], "s1"),
        ([snapshot(1), snapshot(2, "/a", "/b")], "s1"),
        ([snapshot(1, tags=("config:c",)), snapshot(2)], "s1"),
        ([snapshot(1, tags=("config:other",))], "s1"),
        ([snapshot(1, "/b", tags=("config:c",))], "s1"),
        ([snapshot(1, "/b", tags=("config:other",))], None),
    ],
)
def test_the_parent_is_the_newest_backup_of_the_same_things(snapshots: list[Snapshot], expected: str | None) -> None:
    found = choose_parent(snapshots, hostname="h", paths=["/a"], config_tag="config:c")
    assert (found.id if found else None) == expected


def test_the_order_of_paths_does_not_matter_to_the_parent() -> None:
    found = choose_parent([snapshot(1, "/b", "/a")], hostname="h", paths=["/a", "/b"], config_tag="")
    assert found is not None


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode", "type"])
def test_one_difference_makes_a_changed_file(tmp_path: Path, field: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    status = os.lstat(path)
    node = make_node(b"f", os.fsencode(path), status, on_problem=lambda *_: None)
    assert node is not None
    assert is_unchanged(node, status)
    assert not is_unchanged(None, status)
    setattr(node, field, "symlink" if field == "type" else getattr(node, field) + 1)
    assert not is_unchanged(node, status)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_the_local_zone_knows_the_offset_of_each_moment() -> None:
    zone = LocalZone()
    for moment, hours in (
        (datetime(2026, 1, 1, tzinfo=UTC), 1),
        (datetime(2026, 7, 1, tzinfo=UTC), 2),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), 2),  # 02:30 for the first time
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), 1),  # 02:30 for the second time
    ):
        assert moment.astimezone(zone).utcoffset() == timedelta(hours=hours)
    local = datetime(2026, 7, 1, tzinfo=zone)
    assert (local.utcoffset(), local.tzname(), local.dst()) == (timedelta(hours=2), "CEST", None)


def test_a_directory_is_listed_by_the_bytes_of_its_names(tmp_path: Path) -> None:
    names = [b"b", b"a", b"B", b"\xff", "é".encode()]
    for name in names:
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    found, failed = list_directory(os.fsencode(tmp_path))
    assert [f.name for f in found] == sorted(names)
    assert failed == []


def test_a_node_carries_what_a_restore_needs(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    path.chmod(0o4750)
    os.utime(path, ns=(1, -5))
    (tmp_path / "second").hardlink_to(path)
    status = os.lstat(path)
    node = make_node(b"f", os.fsencode(path), status, on_problem=lambda *_: None)
    assert node is not None
    assert (node.type, node.size, node.links, node.mtime_ns, node.atime_ns) == ("file", 5, 2, -5, -5)
    assert (node.inode, node.device_id, node.uid) == (status.st_ino, status.st_dev, status.st_uid)
    assert node.mode == 0o750 | 1 << 23


def test_attributes_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[OSError] = []

    def refuse(*_: object, **__: object) -> list[str]:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "listxattr", refuse)
    node = make_node(b"d", os.fsencode(tmp_path), os.lstat(tmp_path), on_problem=lambda _, error: told.append(error))
    assert node is not None
    assert node.extended_attributes == ()
    assert [error.errno for error in told] == [13]


def test_sources_become_a_tree_of_directories(tmp_path: Path) -> None:
    for name in ("one", "two/deep"):
        (tmp_path / name).mkdir(parents=True)
    found = resolve_sources([str(tmp_path / "two" / "deep"), f"{tmp_path}/./one/", str(tmp_path / "one")])
    assert found.paths == (str(tmp_path / "two" / "deep"), str(tmp_path / "one"))
    point = found.top
    for part in tmp_path.parts[1:]:
        assert isinstance(point, Waypoint)
        ((name, point),) = point.ascending()
        assert name == os.fsencode(part)
    assert isinstance(point, Waypoint)
    assert [name for name, _ in point.ascending()] == [b"one", b"two"]
    assert isinstance(point.children[b"one"], Root)
    assert isinstance(point.children[b"two"], Waypoint)


def test_the_whole_file_system_is_a_source_of_its_own(tmp_path: Path) -> None:
    found = resolve_sources(["/", str(tmp_path)])
    assert isinstance(found.top, Root)
    assert found.paths == ("/",)
    assert any("lies inside" in note for note in found.notes)


def test_paths_are_made_absolute_without_following_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "link").symlink_to("/etc")
    assert absolute("link/..//x") == os.fsencode(tmp_path / "x")
    assert absolute("~/docs") == b"/home/me/docs"
    assert absolute("//etc") == b"/etc"


def test_a_link_to_nowhere_is_a_source_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    found = resolve_sources([str(tmp_path / "link")])
    point = found.top
    while isinstance(point, Waypoint):
        ((_, point),) = point.ascending()
    assert stat.S_ISLNK(point.status.st_mode)


def test_no_source_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        resolve_sources([str(tmp_path / "no"), str(tmp_path / "neither")])
    assert "no" in str(caught.value)
    assert caught.value.path == str(tmp_path / "no")


def test_other_file_systems_are_kept_as_empty_directories(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "file").write_bytes(b"")
    entries, _ = list_directory(os.fsencode(tmp_path))
    for one, descends in ((True, False), (False, True)):
        selection = Selection(options(one_file_system=one))
        kept = selection.choose(selection.source(os.fsencode(tmp_path), -1), entries)
        assert [(k.found.name, k.descend) for k in kept] == [(b"file", False), (b"mounted", descends)]


class Trees:
    def __init__(self) -> None:
        self.saved: dict[TreeId, bytes] = {}

    def save(self, text: bytes) -> TreeId:
        tree = TreeId(blob_id(text))
        self.saved[tree] = text
        return tree


def leaf(name: bytes) -> Node:
    return Node(name, "file", content=())


def directory(name: bytes) -> Node:
    return Node(name, "dir")


def test_trees_are_built_whatever_the_order_in_which_nodes_come() -> None:
    roots = set()
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        trees = Trees()
        builder = TreeBuilder(trees.save, UTC)
        root = builder.open(None, 0, None, count=2)
        inner = builder.open(root, 1, directory(b"inner"), count=3)
        deep = builder.open(inner, 1, directory(b"deep"), count=1)
        steps = [
            (root, 0, leaf(b"a")),
            (inner, 0, leaf(b"b")),
            (inner, 2, leaf(b"z")),
            (deep, 0, leaf(b"c")),
        ]
        for number in order:
            assert builder.root is None
            builder.put(*steps[number])
        assert builder.root is not None
        roots.add(builder.root)
        assert len(trees.saved) == 3
        assert [n.name for n in decode_tree(trees.saved[builder.root])] == [b"a", b"inner"]
        assert builder.directories_new == 2
    assert len(roots) == 1


def test_optional_directories_are_left_out_when_nothing_was_kept() -> None:
    trees = Trees()
    builder = TreeBuilder(trees.save, UTC)
    root = builder.open(None, 0, None, count=3)
    empty = builder.open(root, 0, directory(b"empty"), count=1, optional=True)
    builder.open(empty, 0, directory(b"nested"), count=0, optional=True)
    gone = builder.open(root, 1, directory(b"gone"), count=1)
    builder.put(gone, 0, None)
    builder.put(root, 2, None)
    assert builder.root is not None
    assert [n.name for n in decode_tree(trees.saved[builder.root])] == [b"gone"]


def test_directories_are_compared_with_those_of_the_earlier_backup() -> None:
    trees = Trees()
    first = TreeBuilder(trees.save, UTC)
    empty = trees.save(b'{"nodes":[]}\n')
    root = first.open(None, 0, None, count=3)
    same, other = directory(b"a"), directory(b"b")
    same.subtree, other.subtree = empty, TREE
    first.open(root, 0, directory(b"a"), count=0, earlier=Earlier(same))
    first.open(root, 1, directory(b"b"), count=0, earlier=Earlier(other))
    first.open(root, 2, directory(b"c"), count=0, earlier=Earlier(leaf(b"c")))
    assert (first.directories_unchanged, first.directories_changed, first.directories_new) == (1, 1, 1)


def test_a_directory_of_earlier_nodes_is_not_written_again() -> None:
    tree = TreeId(blob_id(b"what the earlier backup wrote, in whatever way"))
    old = directory(b"d")
    old.subtree = tree
    for count, same, reused in ((2, 2, True), (2, 1, False), (3, 2, False)):
        trees = Trees()
        builder = TreeBuilder(trees.save, UTC)
        root = builder.open(None, 0, None, count=1, earlier=Earlier(None, TREE, 1))
        inner = builder.open(root, 0, old, count=2, earlier=Earlier(old, tree, count))
        builder.put(inner, 0, leaf(b"a"), same=True)
        builder.put(inner, 1, leaf(b"b"), same=same == 2)
        assert (builder.root == TREE) is reused
        assert (trees.saved == {}) is reused
        assert old.subtree == tree
