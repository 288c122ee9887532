"""Repositories that want to write elsewhere, and neighbours who move things about during a restore."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_core.engine import restore_write
from backup_core.format.tree import Node
from backup_core.repository.repository import Repository
from backup_core.results import Outcome
from backup_core.testing.trees import Entry, describe, differences, make_tree


def renamed(old: bytes, new: bytes):
    """A hook that stores entries named ``old`` under another name."""

    def hook(_: bytes, nodes: list[Node]) -> list[Node]:
        for node in nodes:
            if node.name == old:
                node.name = new
        return nodes

    return hook


def everything_but_the_target(top: Path) -> dict[bytes, Entry]:
    return {name: e for name, e in describe(top).items() if name != b"." and not name.startswith((b"out", b"cache"))}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = make_tree(tmp_path / "docs", files=5)
    (path / "sub").mkdir()
    (path / "sub" / "innocent").write_text("evil")
    return path


@pytest.mark.parametrize("name", [b"..", b".", b"../evil", b"/tmp/evil", b"a/../../evil", b"sub/evil"])
def test_a_hostile_name_costs_its_directory_and_nothing_else(bench, tmp_path: Path, source: Path, name: bytes) -> None:
    snapshot = bench.back_up(source, hook=renamed(b"innocent", name))
    before = everything_but_the_target(tmp_path)
    summary = bench.restore(snapshot, tmp_path / "out")
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert list(summary.failed) == ["docs/sub/"]
    assert differences(before, everything_but_the_target(tmp_path)) == []


@pytest.mark.parametrize("name", [b"..", b"../evil", b"/etc/evil"])
def test_names_are_refused_even_when_the_reader_of_trees_is_fooled(
    bench, tmp_path: Path, source: Path, name: bytes, monkeypatch
) -> None:
    snapshot = bench.back_up(source)
    honest = Repository.read_tree
    hook = renamed(b"innocent", name)
    monkeypatch.setattr(Repository, "read_tree", lambda self, tree: hook(b"", list(honest(self, tree))))
    with pytest.raises(Exception, match="outside"):
        bench.restore(snapshot, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_and_a_directory_of_one_name_cannot_be_combined(bench, tmp_path: Path, source: Path) -> None:
    """The classic: first a symlink to elsewhere, then a directory under the same name with a file in it."""

    def twice(directory: bytes, nodes: list[Node]) -> list[Node]:
        if directory.endswith(b"/docs"):
            place = next(i for i, node in enumerate(nodes) if node.name == b"sub")
            nodes.insert(place, Node(b"sub", "symlink", linktarget=os.fsencode(tmp_path)))
        return nodes

    snapshot = bench.back_up(source, hook=twice)
    summary = bench.restore(snapshot, tmp_path / "out")
    assert not (tmp_path / "innocent").exists()
    assert list(summary.failed) == ["docs/"]


def test_links_at_the_target_are_replaced_not_followed(bench, tmp_path: Path, source: Path) -> None:
    snapshot = bench.back_up(source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "innocent").write_text("not to be touched")
    (tmp_path / "out" / "docs").mkdir(parents=True)
    (tmp_path / "out" / "docs" / "sub").symlink_to(elsewhere)
    name = next(p.name for p in source.iterdir() if p.is_file())
    (tmp_path / "out" / "docs" / name).symlink_to(elsewhere / "innocent")
    before = describe(elsewhere)
    assert bench.restore(snapshot, tmp_path / "out").outcome is Outcome.COMPLETED
    assert differences(before, describe(elsewhere)) == []
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_a_link_instead_of_the_sources_own_directory_is_replaced_too(bench, tmp_path: Path, source: Path) -> None:
    snapshot = bench.back_up(source)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "docs").symlink_to(tmp_path / "elsewhere")
    bench.restore(snapshot, tmp_path / "out")
    assert os.listdir(tmp_path / "elsewhere") == []
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_a_directory_swapped_for_a_link_in_the_middle_gets_nothing(
    bench, tmp_path: Path, source: Path, monkeypatch
) -> None:
    """The neighbour waits until the directory has been made and checked, and then puts a link in its place."""
    snapshot = bench.back_up(source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = describe(elsewhere)
    sub = tmp_path / "out" / "docs" / "sub"
    honest = restore_write.make_directory

    def make_and_swap(parent: int, name: bytes, *, private: bool) -> None:
        honest(parent, name, private=private)
        if name == b"sub":
            sub.rmdir()
            sub.symlink_to(elsewhere)

    monkeypatch.setattr(restore_write, "make_directory", make_and_swap)
    summary = bench.restore(snapshot, tmp_path / "out")
    assert differences(before, describe(elsewhere)) == []
    assert "docs/sub/innocent" in summary.failed
    assert len(summary.failed) == 2  # and the directory, whose metadata could not be set
    assert summary.files_restored == summary.files_total - 1


def test_hard_links_in_the_way_are_broken_not_written_through(bench, tmp_path: Path, source: Path) -> None:
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    precious = tmp_path / "precious"
    precious.write_text("evil")
    precious.chmod(0o600)
    os.utime(precious, ns=(5, 5))
    inner = tmp_path / "out" / "docs" / "sub" / "innocent"
    inner.unlink()
    inner.hardlink_to(precious)
    bench.restore(snapshot, tmp_path / "out")
    assert (precious.stat().st_mode & 0o7777, precious.stat().st_mtime_ns) == (0o600, 5)
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_a_directory_full_of_files_in_the_place_of_a_file_stays(bench, tmp_path: Path, source: Path) -> None:
    snapshot = bench.back_up(source)
    inner = tmp_path / "out" / "docs" / "sub" / "innocent"
    inner.mkdir(parents=True)
    (inner / "mine").write_text("mine")
    summary = bench.restore(snapshot, tmp_path / "out")
    assert list(summary.failed) == ["docs/sub/innocent"]
    assert (inner / "mine").exists()
    assert bench.restore(snapshot, tmp_path / "out", delete=True).outcome is Outcome.COMPLETED
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_a_name_that_appears_after_the_plan_is_not_overwritten(bench, tmp_path: Path, source: Path) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    inner = tmp_path / "out" / "docs" / "sub" / "innocent"
    inner.parent.mkdir(parents=True)
    inner.write_text("mine, and new")
    summary = bench.run(plan)
    assert inner.read_text() == "mine, and new"
    assert "docs/sub/innocent" in summary.failed


def test_names_joined_as_hard_links_must_have_the_same_content(bench, tmp_path: Path, source: Path) -> None:
    (source / "one").write_text("one")
    (source / "two").write_text("two")

    def join(_: bytes, nodes: list[Node]) -> list[Node]:
        for node in nodes:
            if node.name in (b"one", b"two"):
                node.links, node.inode, node.device_id = 2, 7, 7
        return nodes

    snapshot = bench.back_up(source, hook=join)
    bench.restore(snapshot, tmp_path / "out")
    assert (tmp_path / "out" / "docs" / "one").read_text() == "one"
    assert (tmp_path / "out" / "docs" / "two").read_text() == "two"


def test_trees_of_nonsense_are_damage_not_crashes(bench, tmp_path: Path, source: Path) -> None:
    def nonsense(_: bytes, nodes: list[Node]) -> list[Node]:
        for node in nodes:
            if node.name == b"innocent":
                node.type = "wormhole"
        return nodes

    snapshot = bench.back_up(source, hook=nonsense)
    summary = bench.restore(snapshot, tmp_path / "out")
    assert "wormhole" in summary.failed["docs/sub/innocent"]
