"""Packs examined by processes: the same word on every pack as without them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine import verify_packs
from backup_core.engine.verify_messages import ExaminePack
from backup_core.engine.verify_packs import Examiners, read_packs
from backup_core.errors import BackupExecutionError
from backup_core.repository.check import PackReport
from backup_core.results import CheckSummary
from backup_core.types import PackId


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    top.mkdir()
    for number in range(30):
        (top / f"f{number}").write_bytes(os.urandom(9000))
    return top


def packs_of(bench: Any) -> list[str]:
    """Names of packs in the order of their ids, the longest first."""
    return sorted(bench.packs(), key=lambda name: -bench.store.stat(name).size)


def reports(bench: Any) -> list[PackReport]:
    sizes = dict(bench.repository.load_index().pack_sizes())
    return list(read_packs(bench.repository, sizes, sorted(sizes), cancel=bench.cancel))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to examine."""
    monkeypatch.setattr(verify_packs, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(verify_packs, "default_worker_count", lambda: 2)


def forked(bench: Any) -> list[PackReport]:
    """What processes say that were forked in advance."""
    sizes = dict(bench.repository.load_index().pack_sizes())
    with Examiners() as examiners:
        examiners.fork_early()
        return list(read_packs(bench.repository, sizes, sorted(sizes), cancel=bench.cancel, examiners=examiners))


def test_they_say_of_every_pack_what_threads_say(
    bench: Any, source: Path, processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.back_up(source)
    gone, flipped, longer, cut, *sound = packs_of(bench)
    content = bench.store.objects
    del content[gone]
    content[flipped] = bytes([content[flipped][0] ^ 1]) + content[flipped][1:]
    content[longer] += b"more"
    content[cut] = content[cut][:-9]
    by_processes = reports(bench)
    monkeypatch.setattr(verify_packs, "WORTH_PROCESSES", 1 << 60)
    assert reports(bench) == by_processes
    monkeypatch.setattr(verify_packs, "can_fork_safely", lambda: True)
    assert forked(bench) == by_processes
    monkeypatch.setattr(verify_packs, "SLOT", 4000)
    assert forked(bench) == by_processes
    wrong = {f"data/{report.pack.hex()[:2]}/{report.pack.hex()}" for report in by_processes if report.problems}
    assert wrong == {gone, flipped, longer, cut}
    assert sound


def test_a_validation_asks_them(bench: Any, source: Path, processes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = bench.back_up(source)
    asked: list[PackId] = []
    real = Examiners.check
    monkeypatch.setattr(Examiners, "check", lambda self, pack: (asked.append(pack), real(self, pack))[1])
    summary: CheckSummary = bench.validate(snapshot, depth="data")[0]
    assert summary.problems == ()
    assert (summary.files_passed, summary.packs_checked) == (30, len(asked))


def test_a_process_that_is_killed_is_told(
    bench: Any, source: Path, processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.back_up(source)
    enlist = verify_packs.Team.enlist

    def with_a_dead_one(team: verify_packs.Team) -> Any:
        members = enlist(team)
        os.kill(members[0].handle._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        members[0].handle._process.wait()  # type: ignore[attr-defined]
        return members

    monkeypatch.setattr(verify_packs.Team, "enlist", with_a_dead_one)
    with pytest.raises(BackupExecutionError, match="killed"):
        reports(bench)


def test_an_error_in_a_process_is_told(
    bench: Any, source: Path, processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.back_up(source)
    monkeypatch.setattr(verify_packs, "ExaminePack", lambda slot, pack, size: ExaminePack("no number", pack, size))
    with pytest.raises(BackupExecutionError, match="a worker could not go on"):
        reports(bench)
