"""The retention rules, one by one, and their guard rails."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from backup_core.errors import ConfigError
from backup_core.format.retention import Candidate, RetentionPolicy, decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def hourly_history(count: int, *, step: timedelta = timedelta(hours=1)) -> list[Candidate]:
    return [Candidate(f"s{i:03}", NOW - i * step) for i in range(count)]


def kept(candidates, policy, now=NOW) -> list[str]:
    return [d.candidate.id for d in decide(candidates, policy, now=now) if d.keep]


def test_last_keeps_the_newest():
    assert kept(hourly_history(5), RetentionPolicy(last=2)) == ["s000", "s001"]


def test_daily_keeps_the_newest_of_each_day_that_has_one():
    history = [Candidate(name, datetime(2026, 11, day, hour, tzinfo=UTC)) for name, day, hour in (
        ("a", 23, 9), ("b", 23, 8), ("c", 22, 23), ("d", 20, 5), ("e", 20, 4), ("f", 1, 1))]  # fmt: skip
    assert kept(history, RetentionPolicy(daily=3)) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("policy", "boundary"),
    [
        (RetentionPolicy(hourly=2), datetime(2026, 11, 23, 12, tzinfo=UTC)),
        (RetentionPolicy(weekly=2), datetime(2026, 11, 23, 0, tzinfo=UTC)),  # a Monday
        (RetentionPolicy(monthly=2), datetime(2026, 11, 1, 0, tzinfo=UTC)),
        (RetentionPolicy(yearly=2), datetime(2026, 1, 1, 0, tzinfo=UTC)),
    ],
)
def test_each_period_keeps_its_newest_the_last_one_before_the_boundary(policy, boundary):
    history = hourly_history(9000)
    newest_before = next(c.id for c in history if c.time < boundary)
    assert kept(history, policy) == ["s000", newest_before]


def test_within_counts_from_the_newest_so_a_stalled_schedule_expires_nothing():
    history = hourly_history(100, step=timedelta(days=1))
    much_later = NOW + timedelta(days=400)
    assert len(kept(history, RetentionPolicy(within=timedelta(days=30)), now=much_later)) == 31


def test_days_are_those_of_the_users_zone():
    shanghai = ZoneInfo("Asia/Shanghai")
    late = Candidate("late", datetime(2026, 11, 22, 16, 30, tzinfo=UTC))  # 00:30 on the 23rd in Shanghai
    early = Candidate("early", datetime(2026, 11, 22, 15, 30, tzinfo=UTC))  # 23:30 on the 22nd
    assert kept([late, early], RetentionPolicy(daily=2)) == ["late"]
    assert kept([late, early], RetentionPolicy(daily=2), now=NOW.astimezone(shanghai)) == ["late", "early"]


def test_the_hour_that_comes_twice_counts_twice():
    berlin = ZoneInfo("Europe/Berlin")
    first = Candidate("first", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))  # 02:30 summer time
    second = Candidate("second", datetime(2026, 10, 25, 1, 30, tzinfo=UTC))  # 02:30 winter time
    assert kept([first, second], RetentionPolicy(hourly=2), now=NOW.astimezone(berlin)) == ["second", "first"]


def test_a_snapshot_from_the_future_stays_and_pushes_nothing_out():
    history = [*hourly_history(3), Candidate("future", NOW + timedelta(days=365))]
    decisions = {d.candidate.id: d for d in decide(history, RetentionPolicy(last=1), now=NOW)}
    assert decisions["future"].keep
    assert "future" in decisions["future"].reasons[0]
    assert decisions["s000"].keep
    assert not decisions["s001"].keep


def test_pins_tags_and_the_last_validated_backup_stay_with_their_reason():
    history = [
        Candidate("new", NOW),
        Candidate("pinned", NOW - timedelta(days=1), pinned="before the move"),
        Candidate("tagged", NOW - timedelta(days=2), tags=frozenset({"keep"})),
        Candidate("good", NOW - timedelta(days=3), validated=True),
        Candidate("older good", NOW - timedelta(days=4), validated=True),
    ]
    decisions = decide(history, RetentionPolicy(last=1, tags=("keep",)), now=NOW)
    assert {d.candidate.id: d.reasons[0] for d in decisions} == {
        "new": "last 1 of 1",
        "pinned": "pinned: before the move",
        "tagged": "tag keep",
        "good": "the newest backup that was validated",
        "older good": "no rule keeps it",
    }


def test_either_rule_keeps():
    history = hourly_history(20, step=timedelta(days=1))
    assert len(kept(history, RetentionPolicy(last=3, within=timedelta(days=9)))) == 10
    assert len(kept(history, RetentionPolicy(last=15, within=timedelta(days=9)))) == 15


def test_an_empty_policy_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        decide(hourly_history(2), RetentionPolicy(), now=NOW)


def test_removing_everything_is_refused():
    with pytest.raises(ConfigError, match="every backup"):
        decide(hourly_history(2), RetentionPolicy(tags=("none",), at_least=0), now=NOW)


def test_all_faults_of_a_policy_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        RetentionPolicy(last=-1, daily=-2, within=timedelta(days=-1))
    assert len(caught.value.problems) == 3


def test_times_of_different_zones_are_compared_as_moments():
    tokyo = timezone(timedelta(hours=9))
    history = [Candidate("a", NOW), Candidate("b", (NOW + timedelta(seconds=1)).astimezone(tokyo))]
    assert kept(history, RetentionPolicy(last=1)) == ["b"]
