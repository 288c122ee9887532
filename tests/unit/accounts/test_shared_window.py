"""One window of requests for all who use an account: never exceeded, whoever dies, and left to the most urgent."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.catalogue import Catalogue
from backup_core.clock import SystemClock
from backup_core.errors import CatalogueError
from backup_core.services.accounts.identity import Account
from backup_core.services.accounts.ledger import DurableLedger
from backup_core.storage.request_budget import HOLD_SECONDS, RequestBudget, is_urgent, urgently
from backup_core.storage.request_ledger import MemoryLedger, Priority, RequestLedger, Settled, allowance
from backup_core.testing.clocks import ManualClock

WINDOW = 1800.0


def ledger_of(catalogue: Catalogue, clock: ManualClock, key: str = "account") -> RequestLedger:
    return catalogue.accounts.ledger(key, shown="me@host", clock=clock)


def send(budget: RequestBudget, count: int = 1) -> int:
    """How many of ``count`` requests go through at once."""
    for sent in range(count):
        if budget.take():
            return sent
        budget.give_back()
    return count


def test_two_users_share_one_window(catalogue: Catalogue, clock: ManualClock) -> None:
    first, second = (RequestBudget(600, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock)) for _ in range(2))
    assert send(first, 400) == 400
    assert send(second, 400) == 600 - 18 - 408, "what the first reserved and did not use counts as well"
    first.close()
    assert send(second, 400) == 8, "until it is given back"
    clock.advance(WINDOW - 1)
    assert second.take() == pytest.approx(1, abs=0.1)
    clock.advance(1.1)
    assert second.take() == 0


def test_another_account_is_another_window(catalogue: Catalogue, clock: ManualClock) -> None:
    one = RequestBudget(50, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock, "one"))
    other = RequestBudget(50, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock, "other"))
    assert (send(one, 99), send(other, 99)) == (49, 49)


def test_a_dead_holder_counts_until_its_window_has_passed(catalogue: Catalogue, clock: ManualClock) -> None:
    dead = RequestBudget(100, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock))
    assert send(dead, 97) == 97
    del dead  # nothing is settled
    living = RequestBudget(100, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock))
    assert living.take() > WINDOW - 1
    clock.advance(WINDOW + HOLD_SECONDS + 1)
    assert living.take() == 0


def test_the_catalogue_is_written_once_for_many_requests(catalogue: Catalogue, clock: ManualClock) -> None:
    ledger = ledger_of(catalogue, clock)
    writes = 0

    class Counted:
        def __getattr__(self, name: str) -> object:
            nonlocal writes
            writes += name in ("reserve", "settle", "block")
            return getattr(ledger, name)

    budget = RequestBudget(600, WINDOW, clock=clock, ledger=Counted())  # type: ignore[arg-type]
    assert send(budget, 480) == 480
    assert writes == 40


def test_urgent_work_finds_room_where_other_work_waits(catalogue: Catalogue, clock: ManualClock) -> None:
    budgets = {
        p: RequestBudget(600, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock), priority=p) for p in Priority
    }
    for priority in (Priority.PRUNE, Priority.VALIDATION, Priority.BACKUP, Priority.RESTORE):
        while send(budgets[priority]):
            pass
        assert ledger_of(catalogue, clock).use().requests == allowance(600, priority)
    assert budgets[Priority.PRUNE].take(urgent=True) == 0, "the renewal of a lock never waits for the window"


def test_urgency_is_of_one_thread_and_block() -> None:
    with urgently():
        assert is_urgent()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(is_urgent()))
        thread.start()
        thread.join()
        assert seen == [False]
    assert not is_urgent()


def test_a_refusal_holds_everybody_back(catalogue: Catalogue, clock: ManualClock) -> None:
    first, second = (RequestBudget(100, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock)) for _ in range(2))
    first.blocked(300)
    assert second.take() == pytest.approx(300, abs=0.01)
    first.blocked(20)
    assert second.take() == pytest.approx(300, abs=0.01), "a shorter one does not end a longer one"
    clock.advance(300.1)
    assert second.take() == 0


def test_a_clock_that_was_ahead_does_not_lock_the_account_for_long(catalogue: Catalogue, clock: ManualClock) -> None:
    ahead = ManualClock(clock.now().replace(year=clock.now().year + 1))
    assert send(RequestBudget(10, WINDOW, clock=ahead, ledger=ledger_of(catalogue, ahead)), 20) == 10
    right = RequestBudget(10, WINDOW, clock=clock, ledger=ledger_of(catalogue, clock))
    assert right.take() <= WINDOW + HOLD_SECONDS
    clock.advance(WINDOW + HOLD_SECONDS)
    assert right.take() == 0


def test_without_the_catalogue_this_process_is_still_counted(
    catalogue: Catalogue, clock: ManualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = DurableLedger(catalogue.accounts, Account("key", "me@host"), clock)
    budget = RequestBudget(50, WINDOW, clock=clock, ledger=ledger)
    assert send(budget, 10) == 10

    def broken(self: object) -> object:
        raise CatalogueError("the disk is full")

    monkeypatch.setattr("backup_core.catalogue.sqlite_file.SQLiteFile.writing", broken)
    with caplog.at_level(logging.WARNING):
        assert send(budget, 99) == 48, "the last batch is carried over"
    assert [r.getMessage() for r in caplog.records] == [
        "from now on only this process's requests to me@host are counted: the disk is full"
    ]


_EXAMPLES = itertools.count()
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # who
        st.sampled_from(["start", "start", "end", "die", "close"]),
        st.floats(0, 900),  # seconds before
        st.booleans(),  # whether the provider counts it at its start or its end
    ),
    max_size=150,
)


def play(ledger: Callable[[], RequestLedger], clock: ManualClock, requests: int, events: list[tuple]) -> None:
    """Let three users send, end, die and leave in any order; the provider must never count too many."""
    priorities = (Priority.RESTORE, Priority.BACKUP, Priority.PRUNE)

    def user(who: int) -> RequestBudget:
        return RequestBudget(requests, WINDOW, clock=clock, ledger=ledger(), priority=priorities[who])

    users = [user(who) for who in range(3)]
    under_way: list[list[bool]] = [[], [], []]
    counted: list[float] = []
    for who, what, seconds, at_start in events:
        # Longer requests than the book holds a dead process responsible for are beyond what it promises.
        clock.advance(min(seconds, 60.0) if any(under_way) else seconds)
        if what == "start" and users[who].take() == 0:
            under_way[who].append(at_start)
            if at_start:
                counted.append(clock.monotonic())
        elif what == "end" and under_way[who]:
            if not under_way[who].pop():
                counted.append(clock.monotonic())
            users[who].give_back()
        elif what == "die" and len(under_way[who]) <= 1:
            counted += [clock.monotonic() for at_start in under_way[who] if not at_start]
            under_way[who].clear()
            users[who] = user(who)
        elif what == "close" and not under_way[who]:
            users[who].close()
    for first, last in zip(counted, counted[requests:], strict=False):
        assert last - first >= WINDOW - 1e-3


@given(requests=st.integers(1, 40), events=EVENTS)
def test_no_order_of_events_exceeds_the_window(requests: int, events: list[tuple]) -> None:
    clock = ManualClock()
    shared = MemoryLedger(clock)
    play(lambda: shared, clock, requests, events)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.integers(1, 120), events=EVENTS)
def test_nor_does_any_in_the_catalogue(tmp_path: Path, requests: int, events: list[tuple]) -> None:
    clock = ManualClock()
    catalogue = open_catalogue(tmp_path / "model.db")
    account = f"account {next(_EXAMPLES)}"
    play(lambda: ledger_of(catalogue, clock, account), clock, requests, events)
    catalogue.close()


def test_settling_an_unknown_batch_does_no_harm(catalogue: Catalogue, clock: ManualClock) -> None:
    ledger = ledger_of(catalogue, clock)
    ledger.settle([Settled(4711, 3, ledger.time() + 5)])
    assert ledger.use().requests == 0


def _use_up(path: Path, to_parent: Connection, window: int) -> None:
    catalogue = open_catalogue(path)
    clock = SystemClock()
    ledger = catalogue.accounts.ledger("account", shown="me@host", clock=clock)
    budget = RequestBudget(window, 24 * 3600.0, clock=clock, ledger=ledger)
    sent = 0
    while budget.take() == 0:
        budget.give_back()
        sent += 1
        if sent == 30:
            to_parent.send("thirty")
            if to_parent.poll(0) or window == 599:
                to_parent.recv()  # stay, until killed
    to_parent.send(sent)
    budget.close()
    catalogue.close()


@pytest.mark.parametrize("killed", [False, True])
def test_processes_share_the_window_and_a_killed_one_keeps_its_part(tmp_path: Path, killed: bool) -> None:
    path = tmp_path / "catalogue.db"
    open_catalogue(path).close()
    context = multiprocessing.get_context("spawn")
    before = 0
    if killed:
        ours, theirs = context.Pipe()
        victim = context.Process(target=_use_up, args=(path, theirs, 599))
        victim.start()
        assert ours.recv() == "thirty"
        assert victim.pid is not None
        victim.kill()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
        before = 33  # three batches of eleven
    ends = [context.Pipe() for _ in range(3)]
    processes = [context.Process(target=_use_up, args=(path, theirs, 600)) for _, theirs in ends]
    for process in processes:
        process.start()
    sent = 0
    for ours, _ in ends:
        while (said := ours.recv()) == "thirty":
            pass
        sent += said
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sent == allowance(600, Priority.RESTORE) - before
