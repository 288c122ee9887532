"""Dependencies are kept, places are filled, and a failure stops just what it must."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.progress import CancelToken
from backup_core.services.disaster.estimates import LEAST_BYTES, Measured, expected_speed, plan_seconds
from backup_core.services.disaster.records import StepState
from backup_core.services.disaster.schedule import Schedule

DONE, LOST, FAILED, BLOCKED = StepState.COMPLETED, StepState.INCOMPLETE, StepState.FAILED, StepState.BLOCKED


def plan(dependencies: dict[str, list[str]], **fields: object) -> RecoveryPlan:
    steps = [{"name": name, "configuration": name, "depends_on": on} for name, on in dependencies.items()]
    return RecoveryPlan.model_validate({"name": "p", "target_base_path": "/t", "steps": steps, **fields})


def run(
    wanted: RecoveryPlan, work: Callable[[str], StepState], *, cancel: CancelToken | None = None, done: object = ()
) -> tuple[dict[str, StepState], dict[str, str]]:
    reasons: dict[str, str] = {}
    schedule = Schedule(
        wanted, work, lambda name, _, reason: reasons.update({name: reason}), cancel=cancel or CancelToken(), done=done
    )
    return schedule.run(), reasons


def test_independent_steps_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def work(name: str) -> StepState:
        if name != "first":
            meeting.wait()
        return DONE

    states, _ = run(plan({"first": [], "a": ["first"], "b": ["first"]}), work)
    assert set(states.values()) == {DONE}


def test_one_place_means_the_order_of_the_plan() -> None:
    order: list[str] = []

    def work(name: str) -> StepState:
        order.append(name)
        return DONE

    run(plan({"c": [], "a": [], "b": ["a"], "d": []}, parallel=1), work)
    assert order == ["c", "a", "b", "d"]


def test_a_failure_leaves_out_what_depends_on_it() -> None:
    failing = {"a": FAILED, "x": LOST}
    wanted = {"a": [], "b": ["a"], "c": ["b"], "x": [], "y": ["x"]}
    states, reasons = run(plan(wanted), lambda name: failing.get(name, DONE))
    assert states == {"a": FAILED, "b": BLOCKED, "c": BLOCKED, "x": LOST, "y": DONE}
    assert "'a'" in reasons["b"] and "'b'" in reasons["c"]


def test_a_plan_may_stop_at_the_first_failure() -> None:
    for bad in (FAILED, LOST):
        stopping = plan({"a": [], "b": [], "c": []}, parallel=1, on_failure="stop")
        states, reasons = run(stopping, lambda name, bad=bad: bad if name == "a" else DONE)
        assert states == {"a": bad, "b": BLOCKED, "c": BLOCKED}
        assert "first failure" in reasons["c"]


def test_cancelling_begins_nothing_more() -> None:
    cancel = CancelToken()

    def work(name: str) -> StepState:
        cancel.cancel("enough")
        return StepState.CANCELLED

    states, reasons = run(plan({"a": [], "b": ["a"], "c": []}, parallel=1), work, cancel=cancel)
    assert set(states.values()) == {StepState.CANCELLED}
    assert reasons == {"b": "enough", "c": "enough"}


def test_what_is_done_is_not_done_again() -> None:
    seen: list[str] = []
    states, _ = run(plan({"a": [], "b": ["a"]}), lambda name: seen.append(name) or DONE, done={"a"})
    assert (seen, states) == (["b"], {"b": DONE})


@given(st.data())
def test_every_step_comes_after_those_it_depends_on(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    wanted = {n: data.draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, n in enumerate(names)}
    failing = data.draw(st.sets(st.sampled_from(names)))
    lock, finished = threading.Lock(), list[str]()

    def work(name: str) -> StepState:
        with lock:
            assert set(wanted[name]) <= set(finished)
            finished.append(name)
        return FAILED if name in failing else DONE

    states, _ = run(plan(wanted, parallel=data.draw(st.integers(1, 3))), work)
    assert set(states) == set(names)
    for name in names:
        hindered = any(states[on] in (FAILED, BLOCKED) for on in wanted[name])
        assert states[name] is (BLOCKED if hindered else FAILED if name in failing else DONE)


def test_the_time_of_a_plan_is_that_of_its_longest_way() -> None:
    wanted = {"db": [], "code": ["db"], "uploads": ["db"], "cache": []}
    seconds = {"db": 10.0, "code": 5.0, "uploads": 20.0, "cache": 3.0}
    assert plan_seconds(plan(wanted, parallel=4), seconds) == 30
    assert plan_seconds(plan(wanted, parallel=1), seconds) == 38


def test_speed_is_measured_on_the_configurations_own_restores_first() -> None:
    mib = 1 << 20
    past = [Measured("b", 50 * mib, 1), Measured("a", 10 * mib, 1), Measured("a", LEAST_BYTES - 1, 0.001)]
    own = expected_speed("a", past)
    assert own is not None and own.rate == 10 * mib and own.source == "1 restore of a"
    other = expected_speed("c", past)
    assert other is not None and other.rate == 30 * mib and "other configurations" in other.source
    assert expected_speed("a", past[2:]) is None
