"""The ledger of trees saves decoding, and never anything else: with it and without it a backup has the same tree."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup_core.engine import tree_splicing
from backup_core.engine.tree_facts import facts_of_node, hash_of_tree
from backup_core.errors import BackupExecutionError, Corrupt
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.repository.index_rewrite import rewrite_index
from backup_core.results import BackupSummary
from backup_core.types import BlobType

LEDGERS = "ledgers"


def ledgers(bench: Any) -> list[Path]:
    return sorted((bench.repository.cache.directory(LEDGERS)).iterdir())


@contextmanager
def trees_read(bench: Any) -> Iterator[set[object]]:
    """The trees that are read meanwhile, to be decoded as a whole or to be spliced."""
    read: set[object] = set()
    reader = bench.repository.reader

    def noting(real: Any) -> Any:
        def reading(tree: Any, **wishes: Any) -> Any:
            read.add(tree)
            return real(tree, **wishes)

        return reading

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reader, "read_tree", noting(reader.read_tree))
        patched.setattr(reader, "tree_text", noting(reader.tree_text))
        yield read


def without_ledger(bench: Any, *sources: Path, **wishes: Any) -> BackupSummary:
    for path in ledgers(bench):
        path.unlink()
    done: BackupSummary = bench.back_up(*sources, **wishes)
    return done


def afresh(bench: Any, *sources: Path, **wishes: Any) -> BackupSummary:
    """A backup that knows of no earlier one, so that it makes and encodes every node anew."""
    done: BackupSummary = bench.back_up(*sources, hostname=f"host {bench.number}", tags=(), **wishes)
    return done


def tree(bench: Any, done: BackupSummary, top: Path) -> object:
    """What was stored of ``top``, all below it included; what lies above is changed by others meanwhile."""
    return bench.nodes(done, top.parent)[top.name]


def figures(done: BackupSummary) -> tuple[int, ...]:
    return (done.files, done.files_unchanged, done.files_changed, done.files_new, done.directories, done.total_size)


def test_a_backup_without_changes_decodes_only_what_leads_to_the_source(bench: Any, source: Path) -> None:
    first = bench.back_up(source)
    with trees_read(bench) as read:
        again = bench.back_up(source)
    assert len(read) == len(source.parts) - 1, "the directories above the source"
    assert tree(bench, again, source) == tree(bench, first, source)
    assert figures(again)[:4] == (12, 12, 0, 0)
    with trees_read(bench) as read:
        slow = without_ledger(bench, source)
    assert len(read) == len(source.parts) - 1 + 4
    assert figures(slow) == figures(again)
    assert slow.changes == again.changes


def test_a_change_below_costs_the_way_to_it(bench: Any, source: Path) -> None:
    bench.back_up(source)
    (source / "a" / "b" / "file0").write_bytes(b"changed")
    with trees_read(bench) as read:
        changed = bench.back_up(source)
    assert len(read) == len(source.parts) - 1 + 3, "of four directories, the one beside is not decoded"
    assert figures(changed)[:4] == (12, 11, 1, 0)
    assert bench.contents(changed, source)["a/b/file0"] == b"changed"
    assert tree(bench, without_ledger(bench, source), source) == tree(bench, changed, source)


def test_a_directory_that_went_and_one_that_cannot_be_listed(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.back_up(source)
    real = os.listdir

    def listdir(path: Any) -> Any:
        if os.fsencode(path) == os.fsencode(source / "a" / "b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", listdir)
        done = bench.back_up(source)
        assert sorted(bench.nodes(done, source)) == [
            "a", *(f"a/file{n}" for n in range(4)), "c", *(f"c/file{n}" for n in range(4))
        ]  # fmt: skip
        assert tree(bench, without_ledger(bench, source), source) == tree(bench, done, source)
    assert figures(bench.back_up(source))[0] == 12, "and it is there again"


def test_it_rests_on_the_index_files_it_was_made_with(bench: Any, source: Path) -> None:
    bench.back_up(source)
    with bench.repository.lock(exclusive=True) as held:
        index = bench.repository.load_index()
        rewrite_index(bench.repository, held, index.index_ids, packs=list(index.packs()), cancel=CancelToken())
    with trees_read(bench) as read:
        bench.back_up(source)
    assert len(read) == len(source.parts) - 1 + 4, "others may have removed what no index lists any more"
    with trees_read(bench) as read:
        bench.back_up(source)
    assert len(read) == len(source.parts) - 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of another key"])
def test_a_ledger_that_is_damaged_or_made_by_others_is_none(bench: Any, source: Path, damage: str) -> None:
    first = bench.back_up(source)
    (path,) = ledgers(bench)
    good = path.read_bytes()
    flipped = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    bad = {"cut": good[:-1], "flipped": flipped, "empty": b"", "of another key": bytes(200)}
    path.write_bytes(bad[damage])
    with trees_read(bench) as read:
        again = bench.back_up(source)
    assert len(read) == len(source.parts) - 1 + 4
    assert tree(bench, again, source) == tree(bench, first, source)


def test_an_earlier_tree_that_cannot_be_read_when_it_is_needed(bench: Any, source: Path) -> None:
    bench.back_up(source)
    (source / "a" / "b" / "file0").write_bytes(b"changed")
    needed = bench.nodes(bench.back_up(source), source)["a"].subtree
    (source / "a" / "b" / "file0").write_bytes(b"changed again")
    real = bench.repository.reader.read_tree

    def damaged(tree: Any, *, keep: bool) -> Any:
        if tree == needed:
            raise Corrupt("damaged", kind="tree")
        return real(tree, keep=keep)

    bench.repository.reader.read_tree = damaged
    with pytest.raises(BackupExecutionError, match="Run the backup again") as caught:
        bench.back_up(source)
    assert caught.value.transient
    done = bench.back_up(source)
    assert [problem.kind for problem in done.problems] == ["damaged-parent"]
    bench.repository.reader.read_tree = real
    assert bench.contents(done, source)["a/b/file0"] == b"changed again"
    assert len(bench.contents(done, source)) == 12


def test_a_full_backup_asks_no_ledger_and_leaves_one(bench: Any, source: Path) -> None:
    bench.back_up(source)
    full = bench.back_up(source, kind="full")
    assert bench.snapshot(full).summary.total_bytes_processed == 900_000
    assert full.files_unchanged == 12
    with trees_read(bench) as read:
        bench.back_up(source)
    assert len(read) == len(source.parts) - 1


def test_content_that_no_index_knows_any_more_is_stored_again(bench: Any, source: Path) -> None:
    bench.back_up(source)
    first = {name for name in bench.store.objects if name.startswith("index/")}
    (source / "new").write_bytes(b"new")
    bench.back_up(source)
    for name in first:
        del bench.store.objects[name]
    other = bench.reopened()
    done = other.back_up(source)
    assert len(other.contents(done, source)) == 13, "all of it can be read"


def test_what_a_tree_says_and_never_was_on_a_disk_is_compared_all_the_same() -> None:
    strange = Node(b"n", "file", mtime_ns=-(1 << 70), inode=1 << 64, uid=1 << 40, user="\udcff", error="none read")
    assert hash_of_tree([facts_of_node(strange)]) != hash_of_tree([facts_of_node(Node(b"n", "file"))])


def test_of_a_directory_in_which_a_file_has_changed_only_that_node_is_decoded(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "c" / "link").symlink_to("file0")
    bench.back_up(source)
    (source / "c" / "file1").write_bytes(b"changed")
    (source / "c" / "file2").unlink()
    decoded: list[bytes] = []
    real = tree_splicing.decode_tree

    def noting(text: bytes) -> list[Node]:
        decoded.extend(node.name for node in real(text))
        return real(text)

    monkeypatch.setattr(tree_splicing, "decode_tree", noting)
    done = bench.back_up(source)
    assert decoded == [b"a", b"c", b"file1", b"file2"], "directories carry the trees of others"
    assert figures(done)[:4] == (12, 11, 1, 0)
    assert done.changes is not None
    assert (done.changes.removed, done.changes.rewritten) == (1, 1)
    assert tree(bench, afresh(bench, source), source) == tree(bench, done, source)


def test_a_directory_with_a_socket_stands_like_any_other(bench: Any, source: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        directory = os.open(source / "c", os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        first = bench.back_up(source)
        with trees_read(bench) as read:
            again = bench.back_up(source)
    assert len(read) == len(source.parts) - 1
    assert tree(bench, again, source) == tree(bench, first, source)


def test_in_another_zone_a_tree_that_changes_is_written_in_that_zone(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.back_up(source)
    (source / "c" / "file1").write_bytes(b"changed")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        done = bench.back_up(source)
        fresh = afresh(bench, source)
    time.tzset()
    now, wanted = (bench.nodes(each, source)["c"].subtree for each in (done, fresh))
    assert now == wanted
    assert bench.repository.reader.tree_text(now).count(b"+08:00") == 3 * 4


def test_a_tree_that_cannot_be_read_any_more_is_told_of_once(bench: Any, source: Path) -> None:
    bench.back_up(source)
    (source / "c" / "file1").write_bytes(b"changed")
    needed = bench.nodes(bench.back_up(source), source)["c"].subtree
    (source / "c" / "file1").write_bytes(b"changed again")
    real = bench.repository.reader.tree_text

    def damaged(tree: Any) -> Any:
        if tree == needed:
            raise Corrupt("damaged", kind="tree")
        return real(tree)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench.repository.reader, "tree_text", damaged)
        done = bench.back_up(source)
    assert [problem.kind for problem in done.problems] == ["damaged-parent"]
    assert bench.contents(done, source)["c/file1"] == b"changed again"
    assert len(bench.contents(done, source)) == 12


NAMES = st.sampled_from(["a", "b", "一"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ACTS = st.tuples(
    st.sampled_from(
        ["write", "same size and time", "remove", "mkdir", "link", "hardlink", "mode", "touch", "rename", "attribute"]
    ),
    PATHS,
    PATHS,
)


def act(top: Path, what: str, path: Path, other: Path) -> None:
    """Change something below ``top``; what is not possible there is left."""
    if what == "mkdir":
        path.mkdir(parents=True)
    elif what == "write":
        path.write_bytes(os.urandom(3))
    elif what == "same size and time":
        before = path.stat()
        path.write_bytes(os.urandom(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "remove":
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    elif what == "link":
        path.symlink_to(other)
    elif what == "hardlink":
        os.link(other, path)
    elif what == "mode":
        path.chmod(0o700 if path.stat().st_mode & 0o077 else 0o755)
    elif what == "touch":
        os.utime(path)
    elif what == "rename":
        path.rename(other)
    elif what == "attribute" and top != path:
        os.setxattr(path, f"user.{other.name}", os.urandom(2))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.lists(ACTS, max_size=4)), min_size=1, max_size=5))
def test_whatever_changes_the_tree_is_the_one_made_without_it(
    bench: Any, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, list[tuple[str, str, str]]]]
) -> None:
    top = tmp_path_factory.mktemp("changing")
    for name in ("a", "b", "b/a", "b/b"):
        (top / name).mkdir()
        (top / name / "一").write_bytes(b"x")
    bench.back_up(top)
    for forget, acts in steps:
        for what, path, other in acts:
            try:
                act(top, what, top / path, top / other)
            except OSError:
                continue
        quick = without_ledger(bench, top) if forget else bench.back_up(top)
        content = bench.contents(quick, top)
        slow = afresh(bench, top)
        assert tree(bench, quick, top) == tree(bench, slow, top)
        assert figures(quick)[0] == figures(slow)[0] and figures(quick)[4:] == figures(slow)[4:]
        regular = [p for p in top.rglob("*") if p.is_file() and not p.is_symlink()]
        assert content == {str(p.relative_to(top)): p.read_bytes() for p in regular}


def test_the_trees_of_the_snapshot_are_listed(bench: Any, source: Path) -> None:
    """The ledger never refers to a tree that the repository does not hold."""
    done = bench.back_up(source)
    index = bench.repository.load_index()
    for node in bench.nodes(done).values():
        assert node.subtree is None or index.contains(node.subtree, BlobType.TREE)
