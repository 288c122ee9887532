"""The doubles that crash sweeps rely on do what they say."""

from __future__ import annotations

import pytest

from backup_core.errors import ConnectionLost, NotFound
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import Fault, FaultyBackend, Moment, PowerCut, every_fault
from backup_core.testing.recording import Operation, RecordingBackend


def test_a_recording_shows_verbs_names_sizes_and_errors() -> None:
    backend = RecordingBackend(MemoryBackend())
    backend.put("a", [b"12", b"3"])
    backend.get("a", offset=1)
    backend.list("")
    with pytest.raises(NotFound):
        backend.stat("b")
    backend.delete("a")
    assert backend.operations == [
        Operation("put", "a", 3),
        Operation("get", "a", 2),
        Operation("list", ""),
        Operation("stat", "b", 0, "NotFound"),
        Operation("delete", "a"),
    ]
    assert backend.names("put", "delete") == ["a", "a"]
    assert [o.verb for o in backend.operations if o.changes] == ["put", "delete"]


@pytest.mark.parametrize(("moment", "left"), [(Moment.BEFORE, None), (Moment.HALFWAY, b"ab"), (Moment.AFTER, b"abcd")])
def test_a_fault_strikes_before_halfway_or_after(moment: Moment, left: bytes | None) -> None:
    inner = MemoryBackend()
    backend = FaultyBackend(inner, Fault(1, moment))
    backend.put("first", b"1")
    with pytest.raises(ConnectionLost):
        backend.put("second", b"abcd")
    backend.put("third", b"3")
    assert inner.objects.get("second") == left
    assert set(inner.objects) >= {"first", "third"}


def test_after_a_crash_nothing_works_any_more() -> None:
    inner = MemoryBackend()
    backend = FaultyBackend(inner, Fault(0, Moment.AFTER, PowerCut, stays_down=True))
    with pytest.raises(PowerCut):
        backend.put("a", b"1")
    with pytest.raises(PowerCut):
        backend.put("b", b"2")
    assert set(inner.objects) == {"a"}


def test_a_sweep_covers_every_write_at_every_moment() -> None:
    states = set()
    for fault in every_fault(2):
        inner = MemoryBackend()
        backend = FaultyBackend(inner, fault)
        with pytest.raises(PowerCut):
            backend.put("a", b"12")
            backend.list("")
            backend.put("b", b"34")
        states.add(tuple(sorted(inner.objects.items())))
    assert states == {
        (),
        (("a", b"1"),),
        (("a", b"12"),),
        (("a", b"12"), ("b", b"3")),
        (("a", b"12"), ("b", b"34")),
    }
