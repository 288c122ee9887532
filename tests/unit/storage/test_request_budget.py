"""The sliding window over requests: never more than allowed, and never less than possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.storage.request_budget import RequestBudget
from backup_core.testing.clocks import ManualClock


def send(budget: RequestBudget, clock: ManualClock, *, seconds: float = 0.0) -> float:
    """One request that lasts so long; returns how long it had to wait."""
    begun = clock.monotonic()
    while wait := budget.take():
        clock.advance(wait)
    waited = clock.monotonic() - begun
    clock.advance(seconds)
    budget.give_back()
    return waited


def test_a_full_window_is_waited_out_until_its_first_request_leaves(clock: ManualClock) -> None:
    budget = RequestBudget(10, 60, clock=clock)
    assert [send(budget, clock, seconds=1) for _ in range(10)] == [0.0] * 10
    assert send(budget, clock) == 51, "60 s after the end of the first one, which was 9 s ago"
    assert send(budget, clock) == 1


def test_a_long_request_counts_until_a_window_after_its_end(clock: ManualClock) -> None:
    budget = RequestBudget(1, 60, clock=clock)
    send(budget, clock, seconds=300)
    assert send(budget, clock) == 60


def test_requests_under_way_count(clock: ManualClock) -> None:
    budget = RequestBudget(2, 60, clock=clock)
    assert (budget.take(), budget.take()) == (0.0, 0.0)
    assert 0 < budget.take() <= 1
    budget.give_back()
    assert budget.take() == 60


def test_a_share_is_kept_for_what_cannot_wait(clock: ManualClock) -> None:
    budget = RequestBudget(100, 60, clock=clock)
    for _ in range(97):
        assert send(budget, clock) == 0.0
    assert budget.take() == 60
    assert [budget.take(urgent=True) for _ in range(3)] == [0.0] * 3
    assert budget.take(urgent=True) == 60


@pytest.mark.parametrize(("requests", "seconds"), [(0, 60), (10, 0)])
def test_a_window_that_lets_nothing_through_is_refused(clock: ManualClock, requests: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="nothing through"):
        RequestBudget(requests, seconds, clock=clock)


@given(
    requests=st.integers(1, 40),
    gaps=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 90), st.floats(0, 1)), max_size=120),
)
def test_no_window_of_the_provider_is_ever_exceeded(requests: int, gaps: list[tuple[float, float, float]]) -> None:
    """Whenever the provider counts a request between its start and its end."""
    clock = ManualClock()
    budget = RequestBudget(requests, 60, clock=clock)
    counted = []
    for pause, seconds, share in gaps:
        clock.advance(pause)
        waited = send(budget, clock, seconds=seconds)
        assert waited <= 60 + 1e-6
        counted.append(clock.monotonic() - seconds * (1 - share))
    for first, last in zip(counted, counted[requests:], strict=False):
        assert last - first >= 60 - 1e-6
