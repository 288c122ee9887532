"""What validation looks at, what it costs, and what it says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from backup_core.engine.verify import Subset
from backup_core.errors import Cancelled, ConfigError, ConnectionLost, RestoreError
from backup_core.format.tree import Node
from backup_core.results import Severity
from backup_core.testing.trees import change_tree, describe, make_tree


def files(path: Path) -> int:
    return sum(entry.kind != "dir" for entry in describe(path).values())


def test_quick_needs_a_few_listings_and_no_pack(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    bench.validate(snapshot)  # reads the trees
    (summary,) = bench.validate(snapshot)
    assert summary.is_valid
    assert (summary.files_checked, summary.files_passed) == (files(source), files(source))
    assert summary.bytes_read == 0
    assert bench.fetched() == []
    assert not bench.backend.names("get")
    assert len(bench.backend.names("list")) <= 3 + summary.packs_checked


def test_data_reads_each_pack_once_for_all_backups(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=60)
    first = bench.back_up(source)
    change_tree(source)
    second = bench.back_up(source)
    found = bench.validate(first, second, depth="data")
    packs = [name for name in bench.backend.names("get") if name.startswith("data/")]
    assert len(packs) == len(set(packs)) == len(bench.packs())
    assert all(summary.is_valid for summary in found)
    sizes = {name: len(bench.store.objects[name]) for name in packs}
    for summary in found:
        assert 0 < summary.packs_checked <= len(packs)
        assert 0 < summary.bytes_read <= sum(sizes.values())
    assert found[0].requests == found[1].requests
    assert found[0].requests["GET"] == len(bench.backend.names("get"))


def test_a_subset_reads_a_part_and_all_parts_read_everything(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=80))
    read: list[str] = []
    for part in range(1, 4):
        (summary,) = bench.validate(snapshot, depth="data", subset=Subset.parse(f"{part}/3"))
        assert summary.is_valid
        read += bench.fetched()
        assert summary.packs_checked == len(bench.fetched())
    assert sorted(read) == sorted(bench.packs())


def test_a_share_moves_on_from_day_to_day(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=80))
    read: set[str] = set()
    for _ in range(7):
        bench.validate(snapshot, depth="data", subset=Subset.parse("20%"))
        today = set(bench.fetched())
        assert len(today) < len(bench.packs())
        read |= today
        bench.clock.advance(86_400)
    assert read == set(bench.packs())


def test_a_restore_rehearsal_leaves_nothing_behind(bench, readable_hostile_tree, tmp_path: Path) -> None:
    source = readable_hostile_tree(tmp_path / "docs").root
    snapshot = bench.back_up(source, chunk=512 * 1024)
    scratch = tmp_path / "scratch"
    (summary,) = bench.validate(snapshot, depth="restore", scratch=scratch, live_source=True)
    assert summary.is_valid
    assert summary.files_passed == summary.files_checked == files(source)
    assert summary.bytes_read > 0
    assert [p.kind for p in summary.problems if p.severity is not Severity.HINT] == []
    assert list(scratch.iterdir()) == []


def test_without_a_scratch_the_systems_own_place_is_used(bench, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=5))
    assert bench.validate(snapshot, depth="restore")[0].is_valid
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_live_source_is_compared_and_what_changed_is_only_a_hint(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=10)
    (source / "quiet").write_bytes(b"right")
    (source / "loud").write_bytes(b"before")
    snapshot = bench.back_up(source)
    facts = (source / "quiet").stat()
    (source / "quiet").write_bytes(b"wrong")
    os.utime(source / "quiet", ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    (source / "loud").write_bytes(b"after it")
    os.utime(source / "loud", ns=(1, 1))
    (source / "new").write_bytes(b"new")
    (summary,) = bench.validate(snapshot, depth="restore", scratch=tmp_path / "scratch", live_source=True)
    told = {(p.kind, Path(p.path).name, p.severity) for p in summary.problems}
    assert told == {
        ("silent-change", "quiet", Severity.WARNING),
        ("changed-since", "loud", Severity.HINT),
    }
    assert summary.is_valid


def test_a_source_that_is_gone_is_a_hint(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=3)
    snapshot = bench.back_up(source)
    source.rename(tmp_path / "moved")
    (summary,) = bench.validate(snapshot, depth="restore", scratch=tmp_path / "scratch", live_source=True)
    assert [(p.kind, p.severity) for p in summary.problems] == [("no-source", Severity.HINT)]


def test_a_rehearsal_that_comes_out_wrong_names_the_files(bench, tmp_path: Path, monkeypatch) -> None:
    source = make_tree(tmp_path / "docs", files=5)
    (source / "victim").write_bytes(b"victim" * 100)
    snapshot = bench.back_up(source)
    from backup_core.engine import restore_write

    honest = restore_write.write_all

    def garble(descriptor: int, data, offset: int) -> None:
        honest(descriptor, bytes(data).replace(b"victim", b"murder"), offset)

    monkeypatch.setattr(restore_write, "write_all", garble)
    (summary,) = bench.validate(snapshot, depth="restore", scratch=tmp_path / "scratch")
    # Its size and time are right: only reading it back shows that it is wrong.
    assert list(summary.damaged_files) == [str(source / "victim")]
    assert summary.files_passed == summary.files_checked - 1
    assert not summary.is_valid


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda node: setattr(node, "size", node.size + 1), "bytes, its entry says"),
        (lambda node: setattr(node, "content", None), "where its content is"),
        (lambda node: setattr(node, "content", (*node.content, b"\x07" * 32)), "in no index"),
        (lambda node: setattr(node, "type", "wormhole"), "wormhole"),
    ],
)
def test_faults_of_structure_are_found_quickly(bench, tmp_path: Path, change, word: str) -> None:
    source = make_tree(tmp_path / "docs", files=10)
    (source / "sub").mkdir(exist_ok=True)
    (source / "sub" / "victim").write_text("victim")

    def hook(_: bytes, nodes: list[Node]) -> list[Node]:
        for node in nodes:
            if node.name == b"victim":
                change(node)
        return nodes

    snapshot = bench.back_up(source, hook=hook)
    (summary,) = bench.validate(snapshot)
    assert list(summary.damaged_files) == [str(source / "sub" / "victim")]
    assert word in summary.damaged_files[str(source / "sub" / "victim")]


def test_options_must_fit_the_depth(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=2))
    with pytest.raises(ConfigError):
        bench.validate(snapshot, subset=Subset.parse("1/2"))
    with pytest.raises(ConfigError):
        bench.validate(snapshot, depth="data", live_source=True)


def test_a_silent_server_is_no_verdict(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=2))

    def lose(*_: object, **__: object) -> bytes:
        raise ConnectionLost("gone")

    bench.backend.get = lose
    with pytest.raises(ConnectionLost):
        bench.validate(snapshot, depth="data")


def test_validation_can_be_cancelled_and_cleans_up(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=20))
    honest = bench.backend.get

    def cancel(name: str, **how):
        bench.cancel.cancel()
        return honest(name, **how)

    bench.validate(snapshot)
    bench.backend.get = cancel
    for depth in ("data", "restore"):
        bench.cancel = type(bench.cancel)()
        wishes = {"scratch": tmp_path / "scratch"} if depth == "restore" else {}
        with pytest.raises(Cancelled):
            bench.validate(snapshot, depth=depth, **wishes)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_scratch_that_cannot_be_made_is_an_error(bench, tmp_path: Path) -> None:
    snapshot = bench.back_up(make_tree(tmp_path / "docs", files=2))
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(RestoreError):
        bench.validate(snapshot, depth="restore", scratch=tmp_path / "file" / "scratch")
