"""Laws that hold for every history and every policy."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backup_core.format.retention import Candidate, RetentionPolicy, decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

histories = st.lists(
    st.integers(min_value=-1000, max_value=100_000), min_size=1, max_size=60
).map(lambda minutes: [Candidate(f"{i}", NOW - timedelta(minutes=m)) for i, m in enumerate(minutes)])  # fmt: skip
counts = st.integers(min_value=0, max_value=8)
policies = st.builds(
    RetentionPolicy,
    last=st.integers(min_value=1, max_value=8),
    hourly=counts, daily=counts, weekly=counts, monthly=counts, yearly=counts,
    within=st.none() | st.integers(min_value=0, max_value=100).map(lambda d: timedelta(days=d)),
)  # fmt: skip


def kept(history, policy):
    return {d.candidate.id for d in decide(history, policy, now=NOW) if d.keep}


@given(histories, policies)
def test_the_newest_stays_and_every_decision_has_a_reason(history, policy):
    decisions = decide(history, policy, now=NOW)
    assert len(decisions) == len(history)
    assert decisions[0].keep
    assert all(d.reasons for d in decisions)


@given(histories, policies)
def test_cleaning_twice_removes_nothing_more(history, policy):
    once = kept(history, policy)
    assert kept([c for c in history if c.id in once], policy) == once


@given(histories, policies)
def test_a_more_generous_policy_keeps_a_superset(history, policy):
    generous = RetentionPolicy(
        last=policy.last + 1, hourly=policy.hourly + 1, daily=policy.daily + 1,
        weekly=policy.weekly + 1, monthly=policy.monthly + 1, yearly=policy.yearly + 1, within=policy.within,
    )  # fmt: skip
    assert kept(history, policy) <= kept(history, generous)


@given(histories, policies)
def test_the_order_of_the_history_does_not_matter(history, policy):
    assert kept(history, policy) == kept(list(reversed(history)), policy)
