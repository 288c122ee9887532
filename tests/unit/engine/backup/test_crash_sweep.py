"""Power cuts at every write of a backup, at every moment of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault


def content_of(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_after_a_power_cut_at_any_write_the_next_run_is_whole(bench: Any, source: Path, tmp_path: Path) -> None:
    # A server that keeps halves of objects under their final names, which is the worst there is.
    bench.store._promises = Promises(atomic_put=False)
    early = bench.back_up(source)
    early_content = content_of(source)
    for number in range(4):
        (source / "a" / f"more{number}").write_bytes(bytes([number]) * 90_000 + b"tail")
        (source / "a" / "b" / f"file{number}").write_bytes(f"changed {number}".encode() * 9000)
    expected = content_of(source)
    clean = dict(bench.store.objects)

    def on_a_copy(name: str) -> Any:
        bench.store = MemoryBackend(promises=bench.store.promises)
        bench.store.objects = dict(clean)
        bench.options = replace(bench.options, cache_directory=tmp_path / name)
        return bench.store

    counting = FaultyBackend(on_a_copy("cache"))
    bench.reopened(counting).back_up(source, workers=1)
    for number, fault in enumerate(every_fault(counting.count())):
        broken = bench.reopened(FaultyBackend(on_a_copy(f"cache{number}"), fault))
        with pytest.raises(PowerCut):
            broken.back_up(source, workers=1)
        broken.repository._journal._drop_file(keep=True)  # the process is dead, and its lock on the journal gone
        after = bench.reopened()
        done = after.back_up(source)
        assert after.contents(done, source) == expected, fault
        assert after.contents(early, source) == early_content, fault
        assert after.repository.check_packs() == [], fault
        assert not [name for name in bench.store.objects if name.startswith("locks/")], fault
