"""What a restore brings back, and what it fetches for that."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from backup_core.results import Outcome
from backup_core.testing.hostile_trees import ACL
from backup_core.testing.trees import change_tree, describe, differences, make_tree


def same(source: Path, restored: Path) -> list[str]:
    return differences(describe(source, sockets=False), describe(restored, sockets=False))


def test_an_ordinary_tree_comes_back_as_it_was(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    summary = bench.restore(snapshot, tmp_path / "out")
    assert summary.outcome is Outcome.COMPLETED, summary
    assert same(source, tmp_path / "out" / "docs") == []
    files = sum(e.kind == "file" for e in describe(source).values())
    assert (summary.files_total, summary.files_restored, summary.files_unchanged) == (files, files, 0)


def test_a_hostile_tree_comes_back_as_it_was(bench, readable_hostile_tree, tmp_path: Path) -> None:
    made = readable_hostile_tree(tmp_path / "docs", small_files=200, sparse_size=5_000_000)
    snapshot = bench.back_up(made.root, chunk=512 * 1024)
    summary = bench.restore(snapshot, tmp_path / "out", verify=True)
    assert same(made.root, tmp_path / "out" / "docs") == []
    assert summary.failed == {}
    assert summary.outcome is Outcome.COMPLETED


def test_every_byte_is_fetched_once_in_one_request_for_each_pack(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=80)
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    bench.backend.clear()
    summary = bench.run(plan)
    fetched = bench.fetched()
    assert len(fetched) == len(set(fetched)) == len(plan.packs) == plan.requests > 3
    assert sum(o.size for o in bench.backend.operations if o.verb == "get") == plan.bytes_to_download
    assert summary.bytes_downloaded == plan.bytes_to_download


def test_a_plan_says_what_will_happen_and_changes_nothing(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    files = [e for e in describe(source).values() if e.kind == "file"]
    assert (plan.creates, plan.replaces, plan.keeps) == (len(files), 0, 0)
    assert plan.bytes_to_write == plan.bytes_total == sum(f.size for f in files)
    assert plan.space_needed >= plan.bytes_to_write
    assert plan.space_free > 0


def test_what_is_there_and_right_is_not_fetched_again(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    bench.backend.clear()
    summary = bench.restore(snapshot, tmp_path / "out")
    assert bench.fetched() == []
    assert summary.files_restored == 0
    assert summary.files_unchanged == summary.files_total
    assert same(source, tmp_path / "out" / "docs") == []


def test_a_changed_target_is_brought_back(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    changed = change_tree(tmp_path / "out" / "docs")
    plan = bench.plan(snapshot, tmp_path / "out", delete=True)
    assert plan.replaces == len(changed["changed"])
    assert plan.creates == len(changed["deleted"]) + len(changed["renamed"])
    assert len(plan.deletes) == len(changed["added"]) + len(changed["renamed"])
    summary = bench.run(plan)
    assert summary.outcome is Outcome.COMPLETED
    assert same(source, tmp_path / "out" / "docs") == []


def test_a_file_of_another_time_but_the_same_content_only_gets_its_metadata(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        os.utime(path, ns=(1, 1))
        path.chmod(0o777)
    bench.backend.clear()
    summary = bench.restore(snapshot, tmp_path / "out")
    assert bench.fetched() == []
    assert summary.files_restored == 0
    assert same(source, tmp_path / "out" / "docs") == []


def test_content_that_changed_without_its_time_is_only_found_when_asked_to_verify(bench, tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "file").write_bytes(b"right" * 1000)
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    path = tmp_path / "out" / "docs" / "file"
    facts = path.stat()
    path.write_bytes(b"wrong" * 1000)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert bench.plan(snapshot, tmp_path / "out").keeps == 1
    assert bench.plan(snapshot, tmp_path / "out", verify=True).replaces == 1
    bench.restore(snapshot, tmp_path / "out", verify=True)
    assert path.read_bytes() == b"right" * 1000


@pytest.mark.parametrize(
    ("policy", "older", "newer"),
    [("always", b"backup", b"backup"), ("if-changed", b"backup", b"backup"), ("if-newer", b"backup", b"NEWER"),
     ("never", b"OLDER", b"NEWER")],
)  # fmt: skip
def test_overwrite_policies(bench, tmp_path: Path, policy: str, older: bytes, newer: bytes) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    for name in ("older", "newer"):
        (source / name).write_bytes(b"backup")
        os.utime(source / name, ns=(10**18, 10**18))
    snapshot = bench.back_up(source)
    out = tmp_path / "out" / "docs"
    out.mkdir(parents=True)
    (out / "older").write_bytes(b"OLDER")
    (out / "newer").write_bytes(b"NEWER")
    os.utime(out / "older", ns=(10**17, 10**17))
    summary = bench.restore(snapshot, tmp_path / "out", overwrite=policy)
    assert summary.outcome is Outcome.COMPLETED
    assert ((out / "older").read_bytes(), (out / "newer").read_bytes()) == (older, newer)


def test_holes_are_neither_fetched_nor_given_room(bench, tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    with (source / "disk.img").open("wb") as file:
        file.seek(300_000_000)
        file.write(b"end")
    snapshot = bench.back_up(source, chunk=1024 * 1024)
    plan = bench.plan(snapshot, tmp_path / "out")
    assert plan.bytes_to_write == 300_000_003
    assert plan.space_needed < 2_000_000
    bench.run(plan)
    facts = (tmp_path / "out" / "docs" / "disk.img").stat()
    assert facts.st_size == 300_000_003
    assert facts.st_blocks * 512 < 100_000
    assert same(source, tmp_path / "out" / "docs") == []


def test_runs_of_zeros_within_data_become_holes(bench, tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    noise = random.Random(1).randbytes(4096)
    (source / "file").write_bytes(noise + bytes(400_000) + noise)
    snapshot = bench.back_up(source, chunk=1024 * 1024)
    bench.restore(snapshot, tmp_path / "out")
    assert (tmp_path / "out" / "docs" / "file").stat().st_blocks * 512 <= 3 * 4096
    assert same(source, tmp_path / "out" / "docs") == []


def test_verification_counts_the_files_it_read_back(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    summary = bench.run(bench.plan(snapshot, tmp_path / "out"), verify=True)
    assert summary.files_verified == summary.files_total


def test_progress_ends_where_it_promised(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs")
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    restored = [p for p in bench.told if p.phase == "restore"]
    assert (restored[-1].files_done, restored[-1].bytes_done) == (restored[-1].files_total, restored[-1].bytes_total)
    assert restored[-1].bytes_stored > 0
    assert bench.told[-1].phase == "done"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what only root can restore")
def test_without_the_rights_of_root_owners_stay_and_devices_are_told(bench, tmp_path: Path, monkeypatch) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "theirs").write_text("x")
    os.chown(source / "theirs", 1234, 1234)
    os.mknod(source / "null", 0o020666, os.makedev(1, 3))
    os.mkfifo(source / "fifo")
    snapshot = bench.back_up(source)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    summary = bench.restore(snapshot, tmp_path / "out")
    out = tmp_path / "out" / "docs"
    assert sorted(p.name for p in out.iterdir()) == ["fifo", "theirs"]
    assert (out / "theirs").stat().st_uid == 0
    assert [(p.kind, p.path) for p in summary.problems] == [("not-root", "docs/null")]
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS


def test_a_default_acl_at_the_target_does_not_creep_in(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=5)
    snapshot = bench.back_up(source)
    (tmp_path / "out").mkdir()
    os.setxattr(tmp_path / "out", "system.posix_acl_default", ACL)
    bench.restore(snapshot, tmp_path / "out")
    assert same(source, tmp_path / "out" / "docs") == []


def test_read_only_directories_at_the_target_are_no_obstacle(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=20)
    for path in [source, *source.rglob("*")]:
        if path.is_dir():
            path.chmod(0o555)
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            path.parent.chmod(0o755)
            path.unlink()
            path.parent.chmod(0o555)
    assert bench.restore(snapshot, tmp_path / "out").outcome is Outcome.COMPLETED
    assert same(source, tmp_path / "out" / "docs") == []
    for path in [source, *source.rglob("*"), *(tmp_path / "out").rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
