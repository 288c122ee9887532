"""Whole backups into a repository in memory."""

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine import pipeline, read_ahead, source_content
from backup_core.engine.messages import FileOutcome
from backup_core.errors import (
    BackupExecutionError,
    Cancelled,
    ConfigError,
    ConnectionLost,
    LockHeld,
    SourceError,
)
from backup_core.progress import Progress
from backup_core.results import Outcome
from backup_core.storage.backend import Promises
from backup_core.testing.faults import Fault, FaultyBackend

KIB = 1024


def content_of(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file() and not p.is_symlink()}


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> FileOutcome:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(source_content.ContentReader, "store_file", refuse)


def test_a_first_backup_holds_everything_and_says_that_it_is_full(bench: Any, source: Path) -> None:
    done = bench.back_up(source)
    assert done.backup_type == "full"
    assert done.outcome is Outcome.COMPLETED
    assert any("became a full one" in note for note in done.notes)
    assert (done.files, done.files_new, done.files_changed, done.files_unchanged) == (12, 12, 0, 0)
    assert done.total_size == 900_000
    assert done.directories == 4 + len(source.parts) - 2
    assert done.data_added > 900_000  # and the trees
    assert done.packs == len(bench.packs())
    assert done.parent == ""
    assert done.requests == {"LIST": 3, "PUT": done.packs + 3, "DELETE": 1}
    stored = [size for name, size in sizes(bench).items() if name.startswith(("data/", "index/", "snapshots/"))]
    assert done.stored_size == sum(stored)
    assert bench.contents(done, source) == content_of(source)
    assert bench.repository.check_packs() == []


def sizes(bench: Any) -> dict[str, int]:
    return {name: len(data) for name, data in bench.store.objects.items()}


def test_the_snapshot_says_where_it_comes_from(bench: Any, source: Path) -> None:
    done = bench.back_up(source, exclude=("*.tmp",))
    snapshot = bench.snapshot(done)
    assert snapshot.paths == (str(source),)
    assert snapshot.tags == ("davault", "config:test", "backup-id:test_1", "kind:full")
    assert (snapshot.hostname, snapshot.username, snapshot.excludes) == ("host", "user", ("*.tmp",))
    assert snapshot.uid == os.getuid()
    assert snapshot.program_version.startswith("davault ")
    assert snapshot.time == done.started
    summary = snapshot.summary
    assert summary is not None
    assert (summary.files_new, summary.total_files_processed, summary.total_bytes_processed) == (12, 12, 900_000)
    assert summary.dirs_new == done.directories
    assert summary.data_blobs == 12
    assert summary.tree_blobs == done.directories + 1
    assert summary.data_added == done.data_added
    assert summary.data_added_packed < done.stored_size


def test_an_incremental_backup_opens_no_unchanged_file(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.back_up(source)
    forbid_reading(monkeypatch)
    second = bench.back_up(source)
    assert second.backup_type == "incremental"
    assert second.parent == first.snapshot_id
    assert (second.files_new, second.files_changed, second.files_unchanged) == (0, 0, 12)
    assert (second.data_added, second.packs) == (0, 0)
    assert bench.snapshot(second).tree == bench.snapshot(first).tree
    assert bench.snapshot(second).parent == first.snapshot_id
    assert bench.snapshot(second).summary.dirs_unmodified == second.directories
    assert second.requests == {"LIST": 2, "PUT": 2, "DELETE": 1}


def test_an_incremental_backup_reads_what_changed(bench: Any, source: Path) -> None:
    bench.back_up(source)
    (source / "a" / "file0").write_bytes(b"changed")
    (source / "c" / "new").write_bytes(b"new")
    (source / "c" / "file3").unlink()
    done = bench.back_up(source)
    assert (done.files_new, done.files_changed, done.files_unchanged) == (1, 1, 10)
    assert bench.contents(done, source) == content_of(source)
    summary = bench.snapshot(done).summary
    assert (summary.dirs_new, summary.dirs_changed) == (0, done.directories - 1)  # all but a/b


def test_same_size_and_time_but_another_inode_is_a_change(bench: Any, source: Path) -> None:
    bench.back_up(source)
    path = source / "a" / "file0"
    before = path.stat()
    other = source / "other"
    other.write_bytes(b"x" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    done = bench.back_up(source)
    assert done.files_changed == 1
    assert bench.contents(done, source) == content_of(source)


def test_the_same_content_is_stored_once(bench: Any, tmp_path: Path) -> None:
    top = tmp_path / "twins"
    top.mkdir()
    data = random.Random(1).randbytes(300_000)
    for number in range(5):
        (top / str(number)).write_bytes(data)
    done = bench.back_up(top)
    assert bench.snapshot(done).summary.data_blobs == 1


def test_a_file_that_reads_like_a_directory_is_stored_beside_it(bench: Any, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "empty").mkdir(parents=True)
    (top / "text").write_bytes(b'{"nodes":[]}\n')  # the very tree of an empty directory
    done = bench.back_up(top)
    nodes = bench.nodes(done, top)
    assert nodes["text"].content == (nodes["empty"].subtree,)
    assert bench.content(nodes["text"]) == b'{"nodes":[]}\n'
    assert bench.repository.read_tree(nodes["empty"].subtree) == []


def test_a_full_backup_reads_everything_again(bench: Any, source: Path) -> None:
    bench.back_up(source)
    done = bench.back_up(source, kind="full")
    assert done.backup_type == "full"
    assert done.parent == ""
    assert bench.snapshot(done).parent is None
    assert (done.files_new, done.files_changed, done.files_unchanged) == (0, 0, 12)
    assert done.data_added == 0
    listed = [name for name in bench.backend.names("list") if name.startswith("data/")]
    assert set(listed) == {name[:7] for name in bench.packs()}
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_full_backup_stores_again_what_the_server_lost(bench: Any, source: Path, damage: str) -> None:
    bench.back_up(source)
    lost = bench.packs()
    for name in lost:
        if damage == "missing":
            del bench.store.objects[name]
        else:
            bench.store.objects[name] = bench.store.objects[name][:-1]
    done = bench.back_up(source, kind="full")
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert {p.kind for p in done.problems} >= {"missing-pack" if damage == "missing" else "wrong-size-pack"}
    fresh = bench.reopened()
    fresh.repository.load_index()
    fresh.repository.index.hide_packs([bytes.fromhex(name[8:]) for name in lost])
    assert fresh.contents(done, source) == content_of(source)


def test_an_incremental_backup_reads_again_what_no_index_knows(bench: Any, source: Path) -> None:
    bench.back_up(source)
    for name in list(bench.store.objects):
        if name.startswith(("index/", "data/")):
            del bench.store.objects[name]
    fresh = bench.reopened()
    done = fresh.back_up(source)
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [p.kind for p in done.problems] == ["damaged-parent"]
    assert fresh.contents(done, source) == content_of(source)


def test_a_run_that_broke_off_is_used_by_the_next(bench: Any, source: Path) -> None:
    broken = bench.reopened(
        FaultyBackend(
            bench.store, Fault(at=3, stays_down=True, verbs=frozenset({"put"}))
        )  # lock, pack, pack, then none
    )
    with pytest.raises(ConnectionLost):
        broken.back_up(source, workers=1)
    broken.repository.close()
    left = bench.packs()
    assert len(left) == 2
    assert not [name for name in bench.store.objects if name.startswith(("index/", "snapshots/"))]
    fresh = bench.reopened()
    done = fresh.back_up(source, workers=1)
    assert set(left) < set(bench.packs())
    assert fresh.backend.names("get") == []
    assert 0 < done.data_added < 900_000
    assert fresh.contents(done, source) == content_of(source)
    assert fresh.repository.unreferenced_packs() == {}


def test_a_cancelled_run_leaves_no_lock_and_no_snapshot(bench: Any, source: Path) -> None:
    def cancel_when_begun(progress: Progress) -> None:
        if progress.phase == "backup":
            bench.cancel.cancel("that is enough")

    with pytest.raises(Cancelled, match="enough"):
        bench.back_up(source, sink=cancel_when_begun)
    assert not [name for name in bench.store.objects if name.startswith(("locks/", "snapshots/"))]


def test_nothing_is_written_while_somebody_holds_the_repository(bench: Any, source: Path) -> None:
    other = bench.reopened()
    with other.repository.lock(exclusive=True), pytest.raises(LockHeld):
        bench.back_up(source)
    assert bench.packs() == []


def test_a_dry_run_says_what_would_be_read_and_writes_nothing(bench: Any, source: Path) -> None:
    first = bench.back_up(source, dry_run=True)
    assert first.dry_run
    assert first.snapshot_id == ""
    assert (first.files_new, first.total_size, first.data_added) == (12, 900_000, pytest.approx(900_000, rel=0.15))
    assert bench.backend.names("put", "delete") == []
    bench.back_up(source)
    (source / "a" / "file0").write_bytes(b"changed")
    (source / "new").write_bytes(b"new")
    second = bench.back_up(source, dry_run=True)
    assert (second.files_new, second.files_changed, second.files_unchanged) == (1, 1, 11)
    assert second.data_added == 10
    assert bench.backend.names("put", "delete") == []
    full = bench.back_up(source, dry_run=True, kind="full")
    assert (full.files_new, full.files_changed, full.files_unchanged, full.data_added) == (1, 1, 11, 10)
    assert full.planned.bytes_read == 825_010


def test_a_missing_source_is_a_problem_and_all_missing_are_an_error(bench: Any, source: Path) -> None:
    done = bench.back_up(source, source / "not there")
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [(p.kind, p.path) for p in done.problems] == [("missing-source", str(source / "not there"))]
    assert bench.snapshot(done).paths == (str(source),)
    with pytest.raises(SourceError, match="not there"):
        bench.back_up(source / "not there")
    with pytest.raises(SourceError, match="nothing to back up"):
        bench.back_up()


def test_faulty_patterns_are_refused_before_anything_happens(bench: Any, source: Path) -> None:
    with pytest.raises(ConfigError):
        bench.back_up(source, exclude=("[",))
    assert bench.backend.operations == []


def test_an_unreadable_directory_is_left_out_and_told(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = read_ahead.list_directory

    def refusing(path: bytes) -> Any:
        if path.endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(read_ahead, "list_directory", refusing)
    done = bench.back_up(source)
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [(p.kind, p.path) for p in done.problems] == [("unreadable", str(source / "a" / "b"))]
    assert "a/b" not in bench.nodes(done, source)
    assert done.files == 8


def test_reading_leaves_no_trace_where_that_is_allowed(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = 1_000_000_000
    for path in source.rglob("file*"):
        os.utime(path, (long_ago, long_ago))
    bench.back_up(source)
    assert {path.stat().st_atime for path in source.rglob("file*")} == {long_ago}
    real = os.open

    def refusing(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "Operation not permitted")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    assert bench.back_up(source, kind="full").problems == ()


def test_an_unreadable_file_is_left_out_and_told(bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = source_content._open

    def refusing(path: bytes) -> Any:
        if path.endswith(b"c/file2"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(source_content, "_open", refusing)
    done = bench.back_up(source)
    assert [(p.kind, p.path) for p in done.problems] == [("unreadable", str(source / "c" / "file2"))]
    assert "Permission denied" in done.problems[0].message
    assert "c/file2" not in bench.nodes(done, source)
    assert done.files == 11


def test_a_file_that_vanishes_is_left_out_and_told(bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read_ahead.list_directory

    def vanishing(path: bytes) -> Any:
        found = original(path)
        (source / "c" / "file2").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(read_ahead, "list_directory", vanishing)
    done = bench.back_up(source / "c")
    assert [(p.kind, p.path) for p in done.problems] == [("vanished", str(source / "c" / "file2"))]


def test_a_thousand_problems_are_listed_and_the_rest_counted(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "many"
    top.mkdir()
    for number in range(1100):
        (top / str(number)).write_bytes(b"x")

    def refuse(path: bytes) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source_content, "_open", refuse)
    done = bench.back_up(top)
    assert len(done.problems) == 1001
    assert "100 more" in done.problems[-1].message


def test_special_files_are_kept_and_sockets_are_not(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "special"
    top.mkdir()
    os.mkfifo(top / "fifo")
    (top / "link").symlink_to("nowhere")
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    done = bench.back_up(top)
    nodes = bench.nodes(done, top)
    assert {name: n.type for name, n in nodes.items()} == {"fifo": "fifo", "link": "symlink"}
    assert nodes["link"].linktarget == b"nowhere"
    assert (done.files, done.files_new, done.problems) == (2, 2, ())
    again = bench.back_up(top)
    assert (again.files_new, again.files_unchanged) == (0, 2)


def test_several_sources_lie_at_their_absolute_places(bench: Any, source: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.txt"
    single.write_text("one file")
    tmp_path.chmod(0o750)
    done = bench.back_up(source / "a", source / "c", single, source / "a" / "b")
    nodes = bench.nodes(done, tmp_path)
    assert set(nodes) >= {"single.txt", "source", "source/a/b/file0", "source/c/file0"}
    assert not any(name.startswith("source/x") for name in nodes)
    assert bench.snapshot(done).paths == (str(source / "a"), str(source / "c"), str(single))
    assert any("lies inside another source" in note for note in done.notes)
    above = bench.nodes(done, tmp_path.parent)[tmp_path.name]
    assert above.mode & 0o777 == 0o750
    assert above.mtime_ns == tmp_path.stat().st_mtime_ns


def test_a_source_that_is_a_link_is_followed(bench: Any, source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)
    file_link = tmp_path / "file link"
    file_link.symlink_to(source / "a" / "file1")
    done = bench.back_up(link, file_link)
    assert bench.contents(done, link) == content_of(source)
    assert bench.content(bench.nodes(done, tmp_path)["file link"]) == (source / "a" / "file1").read_bytes()
    assert sum("symbolic link" in note for note in done.notes) == 2


def test_a_source_whose_name_is_not_utf8(bench: Any, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(top)
    Path(os.fsdecode(top), "file").write_bytes(b"content")
    for _ in range(2):
        done = bench.back_up(os.fsdecode(top))
        node = bench.nodes(done, tmp_path)[os.fsdecode(b"caf\xe9/file")]
        assert bench.content(node) == b"content"


def test_include_patterns_leave_out_directories_without_a_kept_file(bench: Any, source: Path) -> None:
    (source / "a" / "b" / "notes.txt").write_text("kept")
    (source / "c" / "deep").mkdir()
    done = bench.back_up(source, include=("*.txt",))
    assert set(bench.nodes(done, source)) == {"a", "a/b", "a/b/notes.txt"}
    whole = bench.back_up(source, include=("c/",))
    assert "c/deep" in bench.nodes(whole, source)
    assert set(bench.nodes(bench.back_up(source, include=("nothing",)), source)) == set()


def test_marked_directories_are_kept_without_their_content(bench: Any, source: Path) -> None:
    (source / "a" / "b" / ".nobackup").touch()
    (source / "c" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55\n# mine")
    (source / "CACHEDIR.TAG").write_bytes(b"Signature: something else")
    done = bench.back_up(source)
    names = set(bench.nodes(done, source))
    assert {n for n in names if n.startswith(("a/b", "c"))} == {"a/b", "a/b/.nobackup", "c", "c/CACHEDIR.TAG"}
    assert "a/file0" in names
    everything = bench.back_up(source, exclude_caches=False, exclude_if_present=())
    assert set(content_of(source)) == {n for n, node in bench.nodes(everything, source).items() if node.type == "file"}


def test_a_source_that_is_marked_itself_is_noted(bench: Any, source: Path) -> None:
    (source / ".nobackup").touch()
    done = bench.back_up(source)
    assert set(bench.nodes(done, source)) == {".nobackup"}
    assert any(".nobackup" in note for note in done.notes)


def test_files_too_long_are_left_out_and_counted(bench: Any, source: Path) -> None:
    (source / "a" / "file0").write_bytes(b"short")
    done = bench.back_up(source, max_file_size=1000)
    assert {n for n, node in bench.nodes(done, source).items() if node.type == "file"} == {"a/file0"}
    assert any("11 files longer than 1000 bytes" in note for note in done.notes)


def test_attributes_are_read_again_only_when_something_changed(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source / "a" / "file0"
    try:
        os.setxattr(path, "user.color", b"red")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    bench.back_up(source)
    asked: list[object] = []
    original = os.listxattr
    monkeypatch.setattr(os, "listxattr", lambda p, **kw: asked.append(p) or original(p, **kw))
    same = bench.back_up(source)
    assert asked == []
    assert bench.nodes(same, source)["a/file0"].extended_attributes == ((b"user.color", b"red"),)
    os.setxattr(path, "user.color", b"blue")
    changed = bench.back_up(source)
    assert bench.nodes(changed, source)["a/file0"].extended_attributes == ((b"user.color", b"blue"),)
    assert asked == [os.fsencode(path)]


def test_no_compression_keeps_data_as_it_is(bench: Any, tmp_path: Path) -> None:
    top = tmp_path / "text"
    top.mkdir()
    (top / "words").write_bytes(b"word " * 20_000)
    done = bench.back_up(top, compression=False)
    assert done.stored_size > 100_000
    location = bench.repository.index.find(bench.nodes(done, top)["words"].content[0])
    assert location.uncompressed_length == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_give_the_same_backup(bench: Any, source: Path, method: str) -> None:
    done = bench.back_up(source, start_method=method)
    assert bench.contents(done, source) == content_of(source)


def test_a_worker_that_dies_ends_the_run_and_gives_the_lock_back(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pipeline.Pipeline.drain

    def killing(self: pipeline.Pipeline) -> None:
        self._close_batch()
        self.pump(wait=True)
        for worker in self._pool.workers:
            os.kill(worker._handle._process.pid, signal.SIGKILL)
        original(self)

    monkeypatch.setattr(pipeline.Pipeline, "drain", killing)
    with pytest.raises(BackupExecutionError, match="worker"):
        bench.back_up(source, start_method="spawn")
    assert not [name for name in bench.store.objects if name.startswith(("locks/", "snapshots/"))]


def test_progress_counts_what_is_done(bench: Any, source: Path) -> None:
    bench.back_up(source)
    phases = list(dict.fromkeys(progress.phase for progress in bench.told))
    assert phases == ["scan", "backup", "upload", "finish"]
    last = [progress for progress in bench.told if progress.phase == "backup"][-1]
    assert (last.files_done, last.bytes_done) == (12, 900_000)
    assert last.requests > 0
    bench.told.clear()
    bench.back_up(source)
    backup = [progress for progress in bench.told if progress.phase == "backup"]
    assert (backup[0].files_total, backup[0].bytes_total) == (12, 900_000)
    assert (backup[-1].files_done, backup[-1].bytes_done) == (12, 900_000)


def test_packs_that_cannot_be_proved_atomic_are_confirmed_before_the_snapshot(bench: Any, source: Path) -> None:
    bench.store._promises = Promises(atomic_put=False)
    fresh = bench.reopened()
    fresh.back_up(source)
    operations = fresh.backend.names("put", "list")
    snapshot_at = next(n for n, name in enumerate(operations) if name.startswith("snapshots/"))
    listed = {name for name in operations[:snapshot_at] if name.startswith("data/") and len(name) == 7}
    assert listed == {name[:7] for name in bench.packs()}


def test_a_parent_that_was_forgotten_and_pruned_elsewhere_is_not_compared_with(bench: Any, source: Path) -> None:
    """This machine still remembers its last backup; somebody else has removed it, and all that it needed."""
    first = bench.back_up(source)
    kept = dict(bench.store.objects)
    for name in kept:
        if name.startswith(("data/", "index/", "snapshots/")):
            del bench.store.objects[name]
    done = bench.reopened().back_up(source)
    assert done.problems == ()
    assert (done.backup_type, done.parent) == ("full", "")
    assert (done.files_new, first.files_new) == (12, 12)
