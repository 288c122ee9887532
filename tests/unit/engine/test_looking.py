"""Comparing, searching and following paths, against what a plain walk over all entries says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from backup_core.engine.file_history import path_versions
from backup_core.engine.find_versions import VersionSearch
from backup_core.engine.snapshot_diff import DiffTotals, compare_snapshots, kind_of_change
from backup_core.errors import BlobMissing
from backup_core.format.ids import blob_id
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree
from backup_core.testing.clocks import DEFAULT_START
from backup_core.types import BlobId, SnapshotId, TreeId

NAMES = (b"a", b"b", b"\xe9t\xe9", "合同".encode(), b"c.txt")
Files = dict[tuple[bytes, ...], Node]


class Forest:
    """Trees in memory; counts what is read."""

    def __init__(self) -> None:
        self.trees: dict[TreeId, list[Node]] = {}
        self.reads = 0

    def read_tree(self, tree: TreeId) -> list[Node]:
        self.reads += 1
        if tree not in self.trees:
            raise BlobMissing(tree.hex())
        return self.trees[tree]

    def plant(self, files: Files, *, prefix: tuple[bytes, ...] = ()) -> TreeId:
        nodes = []
        for name in sorted({path[len(prefix)] for path in files if path[: len(prefix)] == prefix}):
            here = (*prefix, name)
            nodes.append(files[here] if here in files else Node(name, "dir", subtree=self.plant(files, prefix=here)))
        tree = TreeId(blob_id(encode_tree([encode_node(n, UTC) for n in nodes])))
        self.trees[tree] = nodes
        return tree

    def snapshot(self, number: int, files: Files) -> Snapshot:
        return Snapshot(DEFAULT_START, self.plant(files), ("/",), id=SnapshotId(f"{number:064x}"))


def a_file(name: bytes, content: bytes, mtime: int = 0) -> Node:
    return Node(name, "file", mtime_ns=mtime, size=len(content), content=(BlobId(blob_id(content)),))


@st.composite
def worlds(draw: st.DrawFn) -> list[Files]:
    """Several states of one small tree, each made from the one before."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    files: Files = {}
    states = []
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(chance.randrange(6)):
            path = tuple(chance.choices(NAMES, k=chance.randrange(1, 4)))
            if any(path[:n] in files for n in range(1, len(path))):
                continue
            if any(other[: len(path)] == path and other != path for other in files):
                continue
            if path in files and chance.random() < 0.4:
                del files[path]
            else:
                files[path] = a_file(path[-1], bytes([chance.randrange(3)]), chance.randrange(2))
        states.append(dict(files))
    return states


def joined(path: Sequence[bytes]) -> bytes:
    return b"/" + b"/".join(path)


def everything(files: Files) -> dict[bytes, Node]:
    """Files and the directories that they imply, by path."""
    directories = {path[:n] for path in files for n in range(1, len(path))}
    return {joined(p): Node(p[-1], "dir") for p in directories} | {joined(p): node for p, node in files.items()}


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_comparison_finds_what_a_plain_walk_finds(states: list[Files]) -> None:
    forest = Forest()
    first, last = states[0], states[-1]
    found = list(compare_snapshots(forest, forest.snapshot(1, first), forest.snapshot(2, last)))
    left, right = everything(first), everything(last)
    expected = {path: kind_of_change(left.get(path), right.get(path)) for path in left.keys() | right.keys()}
    assert {c.path: c.kind for c in found} == {path: kind for path, kind in expected.items() if kind is not None}
    assert [c.path for c in found] == sorted((c.path for c in found), key=lambda p: p.split(b"/"))


def test_equal_trees_are_not_opened() -> None:
    forest = Forest()
    files = {(b"deep", bytes([65 + n]), b"f"): a_file(b"f", bytes([n])) for n in range(20)}
    before = forest.snapshot(1, files)
    after = forest.snapshot(2, {**files, (b"deep", b"A", b"g"): a_file(b"g", b"new")})
    forest.reads = 0
    totals = DiffTotals()
    for change in compare_snapshots(forest, before, after):
        totals.count(change)
    assert forest.reads == 6, "two roots, two of /deep, two of /deep/A"
    assert (totals.added.files, totals.added.size, totals.removed.files) == (1, 3, 0)
    assert len(list(totals.new_blobs)) == 1 and list(totals.gone_blobs) == []


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from(["*", "a", "c.*", "/a/b", "b/**/a", "合同"]))
def test_a_search_of_all_equals_searches_of_each(states: list[Files], pattern: str) -> None:
    forest = Forest()
    snapshots = [forest.snapshot(n, files) for n, files in enumerate(states)]
    together = VersionSearch(forest, [pattern])
    for snapshot in snapshots:
        together.look_through(snapshot)
    counted = {}
    for snapshot in snapshots:
        alone = VersionSearch(forest, [pattern])
        alone.look_through(snapshot)
        for version in alone.found:
            key = (version.path, version.node.type, version.node.content, version.node.mtime_ns)
            first, _, count = counted.get(key, (snapshot.id, None, 0))
            counted[key] = (first, snapshot.id, count + 1)
    assert counted == {
        (v.path, v.node.type, v.node.content, v.node.mtime_ns): (v.first, v.last, v.snapshots) for v in together.found
    }


def test_names_that_are_not_text_are_found_and_damage_is_told() -> None:
    forest = Forest()
    whole = forest.snapshot(1, {(b"x", b"\xe9t\xe9"): a_file(b"\xe9t\xe9", b"1"), (b"y", b"z"): a_file(b"z", b"2")})
    gone = next(n.subtree for n in forest.trees[whole.tree] if n.name == b"y")
    del forest.trees[gone]
    search = VersionSearch(forest, ["?t?"])
    search.look_through(whole)
    assert [v.path for v in search.found] == [b"/x/\xe9t\xe9"]
    assert list(search.damage) == [b"/y"]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_the_versions_of_a_path_are_its_states_in_a_row(states: list[Files]) -> None:
    forest = Forest()
    snapshots = [forest.snapshot(n, files) for n, files in enumerate(states)]
    for path in {path for files in states for path in files}:
        versions = list(path_versions(forest, joined(path), snapshots))
        replayed = [v.node for v in versions for _ in range(v.snapshots)]
        wanted = [files.get(path) for files in states]
        while wanted[0] is None:
            wanted.pop(0)
        assert [n and (n.content, n.mtime_ns) for n in replayed if n is None or n.type == "file"] == [
            n and (n.content, n.mtime_ns) for n in wanted
        ] or any(n is not None and n.type == "dir" for n in replayed)
        assert all(a.last < b.first for a, b in pairwise(versions))
    assert list(path_versions(forest, b"/nowhere", snapshots)) == []
