"""Processes that write for a restore: the same files as without them, and the same word on what goes wrong."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine import restore_hands, restore_write
from backup_core.engine.restore_hands import Hands
from backup_core.errors import RestoreError
from backup_core.results import Outcome
from backup_core.testing.trees import describe


@pytest.fixture
def hands() -> Iterator[Hands]:
    """Two forked processes."""
    with Hands(2, "fork") as forked:
        yield forked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small files in many directories, a file of several blobs, one with holes, an empty one, and second names."""
    top = tmp_path / "source"
    for number in range(40):
        (top / f"d{number % 7}" / "below").mkdir(parents=True, exist_ok=True)
        (top / f"d{number % 7}" / "below" / f"f{number}").write_bytes(b"%d " % number * (1 + number * 3))
    (top / "large").write_bytes(os.urandom(300_000))
    (top / "holes").write_bytes(b"a" * 5000 + bytes(60_000) + b"b" * 5000)
    (top / "empty").touch()
    os.link(top / "d0" / "below" / "f0", top / "second name")
    os.chmod(top / "d1" / "below" / "f1", 0o640)
    os.utime(top / "d1" / "below" / "f1", ns=(10**18, 10**18 + 7))
    return top


@pytest.mark.parametrize("choice", ["fork", "spawn"])
def test_what_they_write_is_what_was_backed_up(bench: Any, source: Path, tmp_path: Path, choice: Any) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    with Hands(2, choice) as hands:
        hands.fork_early()
        summary = bench.run(plan, hands=hands)
        assert hands.started == 2
    assert summary.outcome is Outcome.COMPLETED, summary.problems
    assert (summary.files_restored, summary.bytes_restored) == (plan.files_total, plan.bytes_to_write)
    assert describe(tmp_path / "out" / "source") == describe(source)
    assert bench.plan(snapshot, tmp_path / "out").keeps == plan.files_total


def test_what_is_damaged_in_one_pack_is_told_and_all_else_is_restored(
    bench: Any, source: Path, tmp_path: Path, hands: Hands
) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    name = max(bench.packs(), key=lambda pack: bench.store.stat(pack).size)  # of data: the plan has read the trees
    content = bytearray(bench.store.get(name))
    content[40] ^= 1  # in the first blob of the pack
    bench.store.delete(name)
    bench.store.put(name, bytes(content))
    hands.fork_early()
    summary = bench.run(plan, hands=hands)
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert 0 < len(summary.failed) < plan.files_total
    assert summary.files_restored == plan.files_total - len(summary.failed)
    assert [problem.kind for problem in summary.problems] == ["damaged-pack"]
    for path in summary.failed:
        assert not (tmp_path / "out" / path).exists()


def test_what_came_into_the_way_meanwhile_is_left_alone(bench: Any, source: Path, tmp_path: Path, hands: Hands) -> None:
    snapshot = bench.back_up(source)
    mine = tmp_path / "out" / "source" / "d1" / "below" / "f1"
    mine.parent.mkdir(parents=True)
    plan = bench.plan(snapshot, tmp_path / "out")
    mine.write_text("mine")
    hands.fork_early()
    summary = bench.run(plan, hands=hands)
    assert mine.read_text() == "mine"
    assert list(summary.failed) == ["source/d1/below/f1"]
    assert "was not there when the plan was made" in summary.failed["source/d1/below/f1"]


def test_a_full_disk_ends_the_restore_and_leaves_no_part(
    bench: Any, source: Path, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    monkeypatch.setattr(restore_write, "write_all", full)
    hands.fork_early()
    summary = bench.run(plan, hands=hands)
    assert summary.outcome is Outcome.FAILED
    assert any(problem.kind == "no-room" for problem in summary.problems)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size]


def test_a_process_that_is_killed_ends_the_restore_with_the_reason(
    bench: Any, source: Path, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(restore_write, "write_all", killed)
        hands.fork_early()
    with pytest.raises(RestoreError, match="killed"):
        bench.run(plan, hands=hands)
    assert bench.restore(snapshot, tmp_path / "out").outcome is Outcome.COMPLETED
    assert describe(tmp_path / "out" / "source") == describe(source)


def test_a_blob_that_is_too_large_to_be_handed_over_is_written_all_the_same(
    bench: Any, source: Path, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backup_core.engine import restore_handing

    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    monkeypatch.setattr(restore_handing, "SLOT", 4000)
    hands.fork_early()
    assert bench.run(plan, hands=hands).outcome is Outcome.COMPLETED
    assert describe(tmp_path / "out" / "source") == describe(source)


def test_boxes_are_handed_over_in_parts_that_fit_into_a_slot(
    bench: Any, source: Path, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what is wanted lies far apart in its pack."""
    from backup_core.engine import restore_handing

    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out", patterns=["source/d[1-5]/**", "source/large"])
    monkeypatch.setattr(restore_handing, "_BATCH_BYTES", 2000)
    sent: list[int] = []
    write = restore_hands.Hand.write

    def watched(self: restore_hands.Hand, plan: Any, pack: Any, boxes: memoryview, *rest: Any) -> Any:
        sent.append(len(boxes))
        return write(self, plan, pack, boxes, *rest)

    monkeypatch.setattr(restore_hands.Hand, "write", watched)
    hands.fork_early()
    assert bench.run(plan, hands=hands).outcome is Outcome.COMPLETED
    assert len(sent) > 3
    for number in range(1, 6):
        below = f"source/d{number}"
        assert describe(tmp_path / "out" / below) == describe(tmp_path / below)
    assert (tmp_path / "out/source/large").read_bytes() == (source / "large").read_bytes()


def test_they_are_started_only_when_it_pays(
    bench: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = bench.back_up(source)
    plan = bench.plan(snapshot, tmp_path / "out")
    key = bench.repository.master_key
    target = os.open(tmp_path, os.O_RDONLY)
    with Hands(2) as hands:
        assert not hands.start(plan, key, target)
        monkeypatch.setattr(restore_hands, "WORTH_A_PROCESS", 10)
        assert hands.start(plan, key, target)
        assert hands.started == 2
    os.close(target)
