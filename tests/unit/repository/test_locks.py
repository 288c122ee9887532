from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backup_core.errors import (
    AccessDenied,
    Cancelled,
    ConnectionLost,
    ListingUnproved,
    LockHeld,
    LockLost,
    QuotaExceeded,
    RepositoryError,
)
from backup_core.format.cipher import Sealer
from backup_core.format.compression import pack_unpacked
from backup_core.format.ids import sha256, to_hex
from backup_core.format.lock_file import LockFile
from backup_core.progress import CancelToken
from backup_core.results import Problem
from backup_core.storage.backend import Listing
from backup_core.testing.faults import WRITES, Fault, FaultyBackend, Moment, PowerCut

PUTS = frozenset({"put"})


def foreign(place: Any, *, exclusive: bool = False, age: float = 0, hostname: str = "elsewhere", pid: int = 77) -> str:
    """A lock of another program, as it lies on the server."""
    file = LockFile(place.clock.now() - timedelta(seconds=age), exclusive, hostname, "somebody", pid)
    box = Sealer(place.open().master_key).seal(pack_unpacked(file.encode()))
    name = f"locks/{to_hex(sha256(box))}"
    place.server.put(name, box)
    return name


def dead_pid() -> int:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_lock_is_there_while_it_is_held_and_gone_afterwards(place: Any) -> None:
    repository = place.open()
    with repository.lock() as held:
        assert place.names("locks") == [f"locks/{held.id}"]
        held.ensure_held()
    assert place.names("locks") == []
    assert place.clock.slept == [0.2]


def test_a_lock_is_given_back_when_the_work_fails(place: Any) -> None:
    with pytest.raises(ZeroDivisionError), place.open().lock(exclusive=True):
        raise ZeroDivisionError
    assert place.names("locks") == []


def test_shared_locks_live_side_by_side(place: Any) -> None:
    with place.open().lock(), place.open().lock():
        assert len(place.names("locks")) == 2


@pytest.mark.parametrize(("theirs", "ours"), [(True, False), (True, True), (False, True)])
def test_an_exclusive_lock_excludes(place: Any, theirs: bool, ours: bool) -> None:
    name = foreign(place, exclusive=theirs, age=60)
    with pytest.raises(LockHeld, match=r"by somebody on elsewhere \(process 77\).*0:01:00 ago.*Wait") as caught:
        place.open().lock(exclusive=ours).__enter__()
    assert caught.value.transient
    assert place.names("locks") == [name]


def test_a_lock_that_appears_while_waiting_makes_us_withdraw(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = place.open()
    monkeypatch.setattr(place.clock, "sleep", lambda seconds, cancel=None: foreign(place, exclusive=True))
    with pytest.raises(LockHeld):
        repository.lock().__enter__()
    assert len(place.names("locks")) == 1


def test_while_it_waits_something_else_may_be_done(place: Any) -> None:
    def busy(seconds: float) -> Any:
        def work(until: float) -> None:
            assert len(place.names("locks")) == 1
            assert until == pytest.approx(place.clock.monotonic() + 0.2)
            place.clock.advance(seconds)

        return work

    for seconds, left in ((0.15, 0.05), (7, 0)):
        with place.open().lock(meanwhile=busy(seconds)):
            assert place.clock.slept.pop() == pytest.approx(left)


def test_what_fails_meanwhile_leaves_no_lock(place: Any) -> None:
    def fail(_: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        place.open().lock(meanwhile=fail).__enter__()
    assert place.names("locks") == []


def test_cancelling_while_waiting_leaves_no_lock(place: Any) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        place.open().lock(cancel=cancel).__enter__()
    assert place.names("locks") == []


def test_stale_locks_are_named_with_advice_and_removed_on_demand(place: Any) -> None:
    old = foreign(place, exclusive=True, age=31 * 60)
    gone = foreign(place, exclusive=True, hostname="here", pid=dead_pid())
    alive = foreign(place, hostname="here", pid=os.getpid())
    with pytest.raises(LockHeld, match=r"Nobody holds it any more \(.+\): remove it with unlock"):
        place.open().lock().__enter__()
    removed = place.open().unlock()
    assert sorted(f"locks/{lock}" for lock in removed) == sorted([old, gone])
    assert place.names("locks") == [alive]
    assert [f"locks/{lock}" for lock in place.open().unlock(remove_all=True)] == [alive]


def test_shared_locks_that_nobody_renewed_for_a_week_are_retired(place: Any) -> None:
    foreign(place, age=8 * 24 * 3600)
    younger = foreign(place, age=6 * 24 * 3600)
    with place.open().lock():
        pass
    assert place.names("locks") == [younger]


def test_an_exclusive_lock_is_never_retired(place: Any) -> None:
    old = foreign(place, exclusive=True, age=8 * 24 * 3600)
    with pytest.raises(LockHeld):
        place.open().lock().__enter__()
    assert place.names("locks") == [old]


def test_a_lock_of_no_length_counts_as_none(place: Any) -> None:
    place.server.put("locks/" + "0" * 64, b"")
    with place.open().lock(exclusive=True):
        pass


def test_an_unreadable_lock_is_read_again_and_then_respected(place: Any) -> None:
    place.server.put("locks/" + "0" * 64, b"half of")
    with pytest.raises(LockHeld, match=r"cannot be read.*unlock --all"):
        place.open().lock().__enter__()
    assert place.clock.slept == [0.2, 0.2, 0.2], "one for the lock, two for reading it again"
    assert place.open().unlock() == {}


def test_a_doubtful_listing_is_no_permission(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = place.open()
    whole = place.server.list
    monkeypatch.setattr(
        place.server, "list", lambda d: replace(whole(d), proved_complete=False, doubt="750 entries and no more")
    )
    with pytest.raises(ListingUnproved, match="750 entries"):
        repository.lock().__enter__()
    assert isinstance(whole("locks"), Listing)
    assert place.names("locks") == []


def test_renewing_writes_a_new_lock_before_the_old_one_goes(place: Any) -> None:
    recorded: list[list[str]] = []
    with place.open().lock() as held:
        first = held.id
        delete = place.server.delete

        def record(name: str) -> None:
            recorded.append(place.names("locks"))
            delete(name)

        place.server.delete = record  # type: ignore[method-assign]
        assert held.tend() == 300
        assert held.id != first
        assert recorded == [sorted([f"locks/{first}", f"locks/{held.id}"])]
        assert place.names("locks") == [f"locks/{held.id}"]


def test_a_lock_that_cannot_be_renewed_for_long_is_lost_and_stops_the_work(place: Any) -> None:
    cancel = CancelToken()
    faulty = FaultyBackend(place.server, Fault(1, stays_down=True, verbs=PUTS))
    lost: Any = None
    reason = r"could not be renewed for 23 minutes \(injected fault\)"
    with pytest.raises(LockLost, match=reason), place.open(faulty).lock(cancel=cancel) as held:
        lost = held
        for _ in range(4):
            place.clock.advance(300)
            assert held.tend() == 60
            held.ensure_held()
        place.clock.advance(200)
        assert held.tend() == 300
        assert cancel.cancelled
        cancel.check()
    with pytest.raises(LockLost):
        lost.ensure_held()


def test_after_the_machine_slept_a_lock_that_is_still_there_is_renewed(place: Any) -> None:
    with place.open().lock() as held:
        first = held.id
        place.clock.set(place.clock.now() + timedelta(hours=8))  # the monotonic clock stood still
        held.ensure_held()
        assert held.id != first
        assert place.names("locks") == [f"locks/{held.id}"]


def test_after_the_machine_slept_a_lock_that_was_removed_is_lost(place: Any) -> None:
    with place.open().lock() as held:
        place.clock.set(place.clock.now() + timedelta(hours=8))
        place.open().unlock()
        with pytest.raises(LockLost, match="removed by somebody"):
            held.ensure_held()
        with pytest.raises(LockLost):
            held.ensure_held()
    assert place.names("locks") == []


def test_a_clock_set_back_does_not_lose_the_lock(place: Any) -> None:
    with place.open().lock() as held:
        place.clock.set(place.clock.now() - timedelta(days=400))
        held.ensure_held()


def test_a_lock_within_a_lock_is_the_same(place: Any) -> None:
    repository = place.open()
    with repository.lock(exclusive=True) as outer, repository.lock() as inner:
        assert inner is outer
        assert len(place.names("locks")) == 1
    assert place.names("locks") == []


def test_an_exclusive_lock_within_a_shared_one_is_refused(place: Any) -> None:
    repository = place.open()
    with repository.lock(), pytest.raises(RepositoryError, match="exclusive"):
        repository.lock(exclusive=True).__enter__()
    assert place.names("locks") == []


@pytest.mark.parametrize("error", [AccessDenied, QuotaExceeded])
def test_reading_goes_on_without_a_lock_where_the_server_takes_none(place: Any, error: Any) -> None:
    readonly = FaultyBackend(place.server, Fault(0, error=lambda: error("no"), stays_down=True, verbs=WRITES))
    problems: list[Problem] = []
    with place.open(readonly).lock_for_reading(problems=problems) as held:
        assert held is None
    assert [problem.kind for problem in problems] == ["no-lock"]
    with place.open().lock_for_reading(problems=problems) as held:
        assert held is not None and place.names("locks") == [f"locks/{held.id}"]
    assert (len(problems), place.names("locks")) == (1, [])


def test_reading_waits_for_nobody_but_respects_exclusive_locks(place: Any) -> None:
    foreign(place, exclusive=True)
    with pytest.raises(LockHeld):
        place.open().lock_for_reading().__enter__()


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_lock(place: Any) -> None:
    with pytest.raises(AccessDenied, match="target"), place.open().lock_for_reading():
        raise AccessDenied("the target")


def test_a_lock_that_cannot_be_deleted_is_deleted_by_the_next_run(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(0, verbs=frozenset({"delete"})))
    first = place.open(faulty)
    with first.lock():
        pass
    first.close()
    assert len(place.names("locks")) == 1
    with place.open().lock(exclusive=True):
        pass
    assert place.names("locks") == []


def test_a_lock_put_whose_answer_is_lost_is_cleared_up(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(0, Moment.AFTER, verbs=PUTS))
    first = place.open(faulty)
    with pytest.raises(ConnectionLost):
        first.lock().__enter__()
    assert len(place.names("locks")) == 1
    with first.lock(exclusive=True):
        assert len(place.names("locks")) == 1
    assert place.names("locks") == []


def test_a_killed_process_leaves_no_lock_for_the_next_run_here(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(1, error=PowerCut, stays_down=True, verbs=WRITES))
    first = place.open(faulty)
    with pytest.raises(PowerCut), first.lock():
        faulty.put("data/00/x", b"")
    first._journal._drop_file(keep=True)  # what the end of a process does to its files
    assert len(place.names("locks")) == 1
    with place.open().lock(exclusive=True):
        assert len(place.names("locks")) == 1
    assert place.names("locks") == []
