"""Where packs lie until they are uploaded, during a whole backup."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import BackupExecutionError
from backup_core.results import Outcome


def test_they_lie_in_the_cache_without_a_name(
    bench: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: set[str] = set()
    real = os.pwrite

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        written.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert bench.back_up(source).outcome is Outcome.COMPLETED
    (place,) = written
    assert place.startswith(str(tmp_path / "cache"))
    assert place.endswith("(deleted)")


def test_a_disk_that_becomes_full_ends_the_run_and_loses_nothing(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.back_up(source)
    before = set(bench.packs())
    (source / "new").write_bytes(os.urandom(400_000))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(BackupExecutionError, match=r"No space left on device.*: look at the cache's disk"):
            bench.back_up(source)
    assert before <= set(bench.packs())
    assert [s.id for s in bench.repository.snapshots()] == [first.snapshot_id]
    again = bench.back_up(source)
    assert bench.contents(again, source)["new"] == (source / "new").read_bytes()
