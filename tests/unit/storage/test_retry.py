"""The retry policy, without any server."""

from __future__ import annotations

import pytest

from backup_core.errors import (
    AccessDenied,
    Cancelled,
    ConnectionLost,
    NotFound,
    RateLimited,
    ServerFailure,
    ShortRead,
    StorageError,
)
from backup_core.progress import CancelToken
from backup_core.storage.retry import Retrier, RetryPolicy, in_words
from backup_core.testing.clocks import ManualClock


class Failing:
    """Raises the given errors one after the other, then returns "done"."""

    def __init__(self, *errors: StorageError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Endless:
    def __init__(self, make) -> None:
        self.make = make
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        raise self.make()


def test_waits_double_up_to_the_longest(clock: ManualClock) -> None:
    operation = Failing(*[ServerFailure("x") for _ in range(8)])
    assert Retrier(RetryPolicy(longest_wait=20), clock=clock).call(operation) == "done"
    assert clock.slept == [1, 2, 4, 8, 16, 20, 20, 20]


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 0.5), (0.5, 1.0), (0.999, 1.499)])
def test_chance_spreads_the_waits(clock: ManualClock, chance: float, expected: float) -> None:
    Retrier(RetryPolicy(), clock=clock, random=lambda: chance).call(Failing(ServerFailure("x")))
    assert clock.slept == [pytest.approx(expected)]


@pytest.mark.parametrize("error", [NotFound, AccessDenied, lambda m: ConnectionLost(m, transient=False)])
def test_what_waiting_cannot_mend_is_raised_at_once(clock: ManualClock, error) -> None:
    operation = Endless(lambda: error("no"))
    with pytest.raises(StorageError, match=r"^no$"):
        Retrier(RetryPolicy(), clock=clock).call(operation)
    assert (operation.calls, clock.slept) == (1, [])


def test_the_deadline_ends_it_and_the_error_says_so(clock: ManualClock) -> None:
    retrier = Retrier(RetryPolicy(), clock=clock)
    with pytest.raises(ServerFailure, match=r"^broken \(given up after \d+ tries in 4\d min\)$"):
        retrier.call(Endless(lambda: ServerFailure("broken")))
    assert sum(clock.slept) <= 45 * 60


def test_a_server_that_was_never_heard_of_is_given_up_sooner(clock: ManualClock) -> None:
    retrier = Retrier(RetryPolicy(), clock=clock)
    with pytest.raises(ConnectionLost):
        retrier.call(Endless(lambda: ConnectionLost("no such host")))
    assert sum(clock.slept) <= 90
    retrier.answered()
    with pytest.raises(ConnectionLost):
        retrier.call(Endless(lambda: ConnectionLost("gone")))
    assert sum(clock.slept) > 40 * 60


def test_damaged_answers_are_asked_for_only_a_few_times(clock: ManualClock) -> None:
    operation = Endless(lambda: ShortRead("cut"))
    with pytest.raises(ShortRead):
        Retrier(RetryPolicy(), clock=clock).call(operation)
    assert operation.calls == 5


def test_a_limit_without_a_time_is_asked_about_seldom(clock: ManualClock) -> None:
    retrier = Retrier(RetryPolicy(), clock=clock)
    operation = Endless(lambda: RateLimited("too many"))
    with pytest.raises(RateLimited):
        retrier.call(operation)
    assert operation.calls <= 14
    assert retrier.limited_within(1)
    clock.advance(100)
    assert not retrier.limited_within(99)


def test_a_long_wait_is_told_again_and_again(clock: ManualClock) -> None:
    said: list[str] = []
    Retrier(RetryPolicy(), clock=clock, on_wait=said.append).pause(125, "for tea")
    assert said == [
        "waiting 2 min for tea", "waiting 95 s for tea", "waiting 65 s for tea", "waiting 35 s for tea",
        "waiting 5 s for tea", "",
    ]  # fmt: skip


def test_cancelling_ends_the_wait_and_the_message(clock: ManualClock) -> None:
    cancel, said = CancelToken(), []

    def failing() -> str:
        cancel.cancel("enough")
        raise ServerFailure("x")

    with pytest.raises(Cancelled, match="enough"):
        Retrier(RetryPolicy(), clock=clock, cancel=cancel, on_wait=said.append).call(failing)
    assert said[-1] == ""


def test_nothing_is_begun_after_cancelling(clock: ManualClock) -> None:
    cancel = CancelToken()
    cancel.cancel()
    operation = Failing()
    with pytest.raises(Cancelled):
        Retrier(RetryPolicy(), clock=clock, cancel=cancel).call(operation)
    assert operation.calls == 0


def test_tidying_up_is_tried_once_after_cancelling(clock: ManualClock) -> None:
    cancel = CancelToken()
    cancel.cancel()
    retrier = Retrier(RetryPolicy(), clock=clock, cancel=cancel)
    assert retrier.call(Failing(), also_cancelled=True) == "done"
    failing = Failing(ServerFailure("x"))
    with pytest.raises(Cancelled):
        retrier.call(failing, also_cancelled=True)
    assert failing.calls == 1


def test_errors_of_the_program_are_not_tried_again(clock: ManualClock) -> None:
    def broken() -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        Retrier(RetryPolicy(), clock=clock).call(broken)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.2, "1 s"), (8.4, "8 s"), (119, "119 s"), (120, "2 min"), (719, "12 min"), (7199, "2 h 0 min"),
     (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_for_people(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
