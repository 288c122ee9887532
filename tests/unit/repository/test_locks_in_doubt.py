"""Locks whose holder, clock or file cannot be trusted: nobody alive is taken for dead, and nothing dead stands in the
way for ever. And what happens to those who were taken for dead all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from backup_core.errors import BackupError, ConnectionLost, LockHeld, LockLost, RepositoryError
from backup_core.format.layout import FileKind
from backup_core.format.lock_file import LockFile
from backup_core.progress import CancelToken
from backup_core.repository.lock_holders import judged
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import DEFAULT_START, ManualClock
from backup_core.testing.faults import WRITES, Fault, FaultyBackend, Moment
from backup_core.testing.tally import Tally
from backup_core.types import LockId

from .test_locks import dead_pid, foreign
from .test_prune_run import PACK, THOROUGH, assert_whole, kept  # noqa: F401 - "kept" is a fixture

MINUTE = timedelta(minutes=1)
HALF = "locks/" + "0" * 64


@pytest.fixture
def dated(place: Any) -> Any:
    """The same place on a server that tells when things were stored, by a clock of its own."""
    place.server._clock = ManualClock(DEFAULT_START + timedelta(hours=5))
    return place


@pytest.mark.parametrize(
    ("silent", "hostname", "alive", "stored", "stale"),
    [
        (29 * MINUTE, "host", True, None, False),
        (29 * MINUTE, "host", False, None, True),
        (29 * MINUTE, "other", False, None, False),
        (29 * MINUTE, "", False, None, False),
        (30 * MINUTE, "host", True, None, False),
        (31 * MINUTE, "other", True, None, True),
        (-90 * MINUTE, "other", True, None, False),
        # Its machine's clock is behind, or ours ahead: by the server's it was renewed a moment ago.
        (180 * MINUTE, "other", True, 2 * MINUTE, False),
        (180 * MINUTE, "host", False, 2 * MINUTE, True),
        (180 * MINUTE, "other", True, 31 * MINUTE, True),
        # A server that says nonsense does not make a living one stale.
        (2 * MINUTE, "other", True, timedelta(days=20_000), False),
        # Written in the future: only the server's clock can tell.
        (-180 * MINUTE, "other", True, 31 * MINUTE, True),
        (-180 * MINUTE, "other", True, 29 * MINUTE, False),
    ],
)
def test_when_a_lock_is_stale(
    silent: timedelta, hostname: str, alive: bool, stored: timedelta | None, stale: bool
) -> None:
    file = LockFile(DEFAULT_START, False, "host", "me", os.getpid() if alive else dead_pid())
    holder = judged(LockId("ab" * 32), file, now=DEFAULT_START + silent, hostname=hostname, stored=stored)
    assert holder.stale is stale, holder
    assert ("unlock" in holder.advice) is stale


def test_half_a_lock_stops_nobody_for_longer_than_half_an_hour(dated: Any) -> None:
    dated.server.put(HALF, b"half of")
    with pytest.raises(LockHeld, match="counts for nothing once the server has had it for 30 minutes"):
        dated.open().lock().__enter__()
    assert dated.open().unlock() == {}
    dated.server._clock.advance(31 * 60)
    with dated.open().lock():
        assert HALF not in dated.server.objects
    dated.server.put(HALF, b"half of")
    dated.server._clock.advance(31 * 60)
    with dated.open().lock(exclusive=True):
        assert HALF not in dated.server.objects


def test_unlocking_says_why(dated: Any) -> None:
    dated.server.put(HALF, b"half of")
    dated.server._clock.advance(45 * 60)
    foreign(dated, exclusive=True)
    assert dated.open().unlock() == {HALF[6:]: "it is half a file, which the server has had for 0:45:00"}
    assert list(dated.open().unlock(remove_all=True).values()) == ["all locks were to be removed"]


@pytest.mark.parametrize("hours", [2, -2])
def test_a_machine_whose_clock_is_hours_away_is_not_taken_for_dead(dated: Any, hours: int) -> None:
    theirs = foreign(dated, age=hours * 3600)
    dated.server._clock.advance(60)
    with pytest.raises(LockHeld):
        dated.open().lock(exclusive=True).__enter__()
    assert dated.open().unlock() == {}
    dated.server._clock.advance(31 * 60)
    assert [f"locks/{lock}" for lock in dated.open().unlock()] == [theirs]


def test_a_lock_that_somebody_removed_is_not_simply_written_again(place: Any) -> None:
    cancel = CancelToken()
    with pytest.raises(LockLost, match="removed by somebody"), place.open().lock(cancel=cancel) as held:
        place.clock.advance(300)
        place.open().unlock(remove_all=True)
        held.tend()
        assert cancel.cancelled
        held.ensure_held()
    assert place.names("locks") == []


def test_a_lock_that_cannot_be_looked_at_is_tried_again(place: Any) -> None:
    faulty = FaultyBackend(place.server, Fault(0, error=lambda: ConnectionLost("gone"), verbs=frozenset({"stat"})))
    with place.open(faulty).lock() as held:
        place.clock.advance(300)
        assert held.tend() == 60
        assert held.tend() == 300
        held.ensure_held()


def test_a_server_that_loses_our_lock_is_found_out(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = place.open()
    put = place.server.put
    monkeypatch.setattr(place.server, "put", lambda name, data: (put(name, data), place.server.objects.pop(name)))
    with pytest.raises(LockLost, match="lost by the server"):
        repository.lock().__enter__()


def test_a_short_run_costs_no_look_at_its_lock(place: Any, store: Callable[..., Any]) -> None:
    with place.open() as repository:
        store(repository, [b"one"])
    assert place.server.requests.by_method["STAT"] == 0


@pytest.mark.parametrize("moment", ["lost", "cut"])
def test_a_snapshot_that_the_server_has_not_kept_is_no_backup(
    place: Any, store: Callable[..., Any], moment: str
) -> None:
    place.server._promises = Promises(atomic_put=False)
    with place.open() as repository:
        first = store(repository, [b"one"])

    class Forgetful(FaultyBackend):
        def put(self, name: str, data: Any) -> None:
            super().put(name, data)
            if name.startswith("snapshots/"):
                whole = self.inner.objects.pop(name)  # type: ignore[attr-defined]
                if moment == "cut":
                    self.inner.objects[name] = whole[:9]  # type: ignore[attr-defined]

    with place.open(Forgetful(place.server)) as repository:
        with pytest.raises(RepositoryError, match=r"had confirmed (is not there|has 9 bytes)"):
            store(repository, [b"two"])
        assert repository.cache.ids(FileKind.SNAPSHOT) == [first.snapshot]
    assert place.names("snapshots") == [f"snapshots/{first.snapshot}"]
    with place.open() as repository:
        store(repository, [b"two"])
        assert len(repository.snapshots()) == 2


class Paused(FaultyBackend):
    """Stands still at one write, before or after it, while ``meanwhile`` happens."""

    def __init__(self, inner: MemoryBackend, at: int, moment: Moment, meanwhile: Callable[[], None]) -> None:
        super().__init__(inner)
        self._left, self._moment, self._meanwhile = at, moment, meanwhile

    def put(self, name: str, data: Any) -> None:
        self._around(lambda: super(Paused, self).put(name, data))

    def delete(self, name: str) -> None:
        self._around(lambda: super(Paused, self).delete(name))

    def _around(self, act: Callable[[], None]) -> None:
        self._left -= 1
        due = self._left == -1
        if due and self._moment is Moment.BEFORE:
            self._meanwhile()
        act()
        if due and self._moment is Moment.AFTER:
            self._meanwhile()


def copy_of(place: Any, objects: dict[str, bytes]) -> MemoryBackend:
    place.server = MemoryBackend()
    place.server.objects |= objects
    return place.server  # type: ignore[no-any-return]


def writes(place: Any, objects: dict[str, bytes], act: Callable[[Any], Any], cache: Any) -> int:
    counting = FaultyBackend(copy_of(place, objects))
    with place.open(counting, cache=cache, pack_size=PACK, upload_threads=1) as repository:
        act(repository)
    return counting.count(WRITES)


@pytest.mark.parametrize("minutes", [40, 2], ids=["past its expiry", "taken for dead by a wrong clock"])
def test_a_writer_that_stood_still_while_another_pruned_loses_nothing(
    place: Any,
    kept: list[Any],  # noqa: F811
    store: Callable[..., Any],
    tmp_path: Any,
    minutes: int,
) -> None:
    objects, contents = dict(place.server.objects), [bytes([n]) * 700 for n in range(8)]
    count = writes(place, objects, lambda repository: store(repository, contents), tmp_path / "counting")
    lost = 0
    for number, (at, moment) in enumerate((at, m) for at in range(count) for m in (Moment.BEFORE, Moment.AFTER)):
        server = copy_of(place, objects)

        def others_prune() -> None:
            place.clock.advance(minutes * 60)
            with place.open(cache=tmp_path / "other", hostname="other") as other, suppress(LockHeld):
                other.unlock(remove_all=minutes < 30)
                prune(other, PruneBounds(max_unused_share=0))

        with place.open(
            Paused(server, at, moment, others_prune), cache=tmp_path / f"{number}", pack_size=PACK, upload_threads=1
        ) as repository:
            made = []
            try:
                made.append(store(repository, contents))
            except LockLost:
                lost += 1
        with place.open(cache=tmp_path / f"elsewhere{number}") as elsewhere:
            assert_whole(elsewhere, [*kept, *made])
            assert len(elsewhere.snapshots()) == len(kept) + len(made), (at, moment)
            assert elsewhere.check_packs() == []
    assert lost >= count, "most of them were found out in time"
    tally = Tally()
    tally.add(pauses=2 * count)
    tally.write(f"a writer that stood still for {minutes} minutes while another pruned")


def test_a_pruner_that_stood_still_while_another_wrote_loses_nothing(
    place: Any,
    kept: list[Any],  # noqa: F811
    store: Callable[..., Any],
    tmp_path: Any,
) -> None:
    objects, contents = dict(place.server.objects), [bytes([n]) * 700 for n in range(8)]
    count = writes(place, objects, lambda repository: prune(repository, THOROUGH), tmp_path / "counting")
    lost = 0
    for number, (at, moment) in enumerate((at, m) for at in range(count) for m in (Moment.BEFORE, Moment.AFTER)):
        server = copy_of(place, objects)
        made: list[Any] = []

        def others_write() -> None:
            place.clock.advance(40 * 60)
            with place.open(cache=tmp_path / f"other{number}", hostname="other", pack_size=PACK) as other:  # noqa: B023
                other.unlock()
                made.append(store(other, [*kept[-1].contents, *contents]))  # noqa: B023

        with place.open(
            Paused(server, at, moment, others_write), cache=tmp_path / f"{number}", pack_size=PACK, upload_threads=1
        ) as repository:
            try:
                prune(repository, THOROUGH)
            except (LockLost, BackupError):
                lost += 1
        with place.open(cache=tmp_path / f"elsewhere{number}") as elsewhere:
            assert_whole(elsewhere, [*kept, *made])
            assert elsewhere.check_packs() == []
    assert lost
    tally = Tally()
    tally.add(pauses=2 * count)
    tally.write("a pruner that stood still while another wrote")
