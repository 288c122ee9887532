"""The flows ``disaster-recovery-drill`` and ``execute-disaster-recovery``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.application import Application, open_application
from backup_core.services.disaster.records import Preview, ReadinessReport, RunReport, StepState, Trend
from backup_core.services.disaster.reports import preview_markdown, readiness_markdown, run_markdown, subject
from backup_core.services.dr_manager import DisasterRecoveryManager
from flows._pages import ends_with_a_page, overview, publish
from flows._parameters import Directory
from flows._runtime import LONGEST_RUN, RETRIES, run_stage, slug, transient

PlanName = Annotated[str, Field(min_length=1, max_length=200, examples=["主站"])]
Sample = Annotated[int, Field(ge=1, le=1000)]
Minutes = Annotated[int, Field(ge=1, le=7 * 24 * 60)]
_POLL = 5
"""Seconds between two looks whether somebody has answered."""
_HISTORY = 24
"""Drills shown in the table."""


class Approval(RunInput):
    """What a person answers in the UI."""

    approved: bool = Field(default=False, description="Carry out the plan shown above.")
    remark: str = Field(default="", max_length=1000, description="Why, or why not. Kept in the log of the run.")


def _plan_run(kind: str) -> Callable[[], str]:
    def name() -> str:
        due: datetime = flow_run.get_scheduled_start_time()
        return f"{kind} {flow_run.get_parameters().get('plan') or 'all plans'} {due.astimezone():%Y-%m-%d %H:%M}"

    return name


def _manager(application: Application) -> DisasterRecoveryManager:
    return application.recovery.disaster_recovery


@task(name="list plans", cache_policy=NO_CACHE, persist_result=False)
def plans() -> list[str]:
    """Names of all plans."""
    with open_application() as application:
        return [kept.plan.name for kept in _manager(application).plans.listed()]


@task(name="readiness", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def readiness(plan: str) -> ReadinessReport:
    """Look at everything that the plan needs, without moving data."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> ReadinessReport:
        return _manager(application).readiness(plan, cancel=cancel, progress=progress)

    report = run_stage(work, title=f"readiness of {plan}")
    publish(readiness_markdown(report), key=f"readiness-{slug(plan)}", description=f"Whether {plan} could be executed")
    return report


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def preview(plan: str) -> Preview:
    """Find out what would be done now."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> Preview:
        return _manager(application).preview(plan)

    return run_stage(work, title=f"plan of {plan}")


@task(name="recover", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def recover(plan: str, resume: bool) -> RunReport:
    """Carry the plan out, or go on with it. What cannot be brought back is in the report, not an error."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> RunReport:
        manager = _manager(application)
        act = manager.resume if resume else manager.carry_out
        return act(plan, cancel=cancel, progress=progress)

    return run_stage(work, title=f"recovery of {plan}")


@task(name="drill", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=transient, **RETRIES)
def drill(plan: str, steps: Sequence[str], sample: int | None, scratch: str | None) -> RunReport:
    """Restore into a scratch directory, check, measure, remove."""

    def work(application: Application, cancel: CancelToken, progress: ProgressSink) -> RunReport:
        place = Path(scratch) if scratch is not None else None
        return _manager(application).drill(
            plan, steps=steps, sample=sample, scratch=place, cancel=cancel, progress=progress
        )

    return run_stage(work, title=f"drill of {plan}")


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(done: RunReport) -> None:
    """Keep what happened where people look for it."""
    with open_application() as application:
        manager = _manager(application)
        drills = manager.history(done.plan_id, kind="drill", limit=_HISTORY)
        trend: Trend = manager.trend(done.plan_id)
    name = done.plan_name
    publish(
        run_markdown(done, trend.sentences if done.kind == "drill" else ()),
        key=f"{'drill' if done.kind == 'drill' else 'recovery'}-{slug(name)}",
        description=f"Last {done.kind} of {name}",
    )
    if done.kind == "drill":
        create_table_artifact(
            [_row(run) for run in drills],
            key=f"drills-{slug(name)}",
            description=f"Recovery time (RTO) and lost work (RPO) of the last drills of {name}, in seconds",
        )


def _row(run: RunReport) -> dict[str, object]:
    return {
        "drill": f"{run.started_at:%Y-%m-%d %H:%M}",
        "result": run.state.value,
        "RTO": None if run.rto is None else round(run.rto, 1),
        "RTO allowed": run.rto_target,
        "RPO": None if run.rpo is None else round(run.rpo),
        "RPO allowed": run.rpo_target,
        "missed": ", ".join(run.breaches),
        "restored": run.sample or "everything",
    }


def _ended(done: RunReport) -> State[RunReport]:
    for step in done.steps:
        if step.error:
            get_run_logger().error("%s: %s", step.name, step.error)
        for path, why in list(step.lost.items())[:50]:
            get_run_logger().error("%s: %s is lost: %s", step.name, path, why)
    if done.state is StepState.CANCELLED:
        return Cancelled(message=subject(done))
    late = done.kind == "drill" and done.breaches
    if done.state is StepState.COMPLETED and not late:
        return Completed(message=subject(done), data=done)
    return Failed(message=f"{subject(done)}; see the run's artifact")


@flow(
    name="disaster-recovery-drill", flow_run_name=_plan_run("drill"), timeout_seconds=LONGEST_RUN, persist_result=False
)
@ends_with_a_page
def disaster_recovery_drill(
    plan: PlanName | None = None,
    steps: Annotated[list[PlanName], Field(max_length=1000)] | None = None,
    sample: Sample | None = None,
    scratch: Directory | None = None,
) -> State[RunReport] | State[list[RunReport]]:
    """Restore a plan into a scratch directory, check it, measure RTO and RPO, and remove it again. The run fails when
    something did not come back, a check failed, or an objective was missed.

    Args:
        plan: Name of the plan. Nothing here: all of them, one after the other.
        steps: Only these steps of it.
        sample: Restore only so many files of each step, others each time. Nothing here: everything.
        scratch: Make the drill's directory below this one.
    """
    if plan is None:
        return _drill_all(sample, scratch)
    readiness(plan)
    done = drill(plan, steps or (), sample, scratch)
    report(done)
    return _ended(done)


def _drill_all(sample: int | None, scratch: str | None) -> State[list[RunReport]]:
    """What befalls one plan does not keep the next from its drill."""
    states = {
        name: disaster_recovery_drill(name, sample=sample, scratch=scratch, return_state=True) for name in plans()
    }
    publish(overview("plans drilled well", states), key="drill-all", description="Last drill of all plans")
    failed = [name for name, state in states.items() if not state.is_completed()]
    if failed:
        return Failed(message=f"{len(failed)} of {len(states)} drills were not good: {', '.join(failed)}")
    return Completed(message=f"{len(states)} plans drilled", data=[state.result() for state in states.values()])


@flow(
    name="execute-disaster-recovery",
    flow_run_name=_plan_run("recover"),
    timeout_seconds=LONGEST_RUN,
    persist_result=False,
)
@ends_with_a_page
def execute_disaster_recovery(
    plan: PlanName, approved: bool = False, resume: bool = False, patience: Minutes = 60
) -> State[RunReport]:
    """Carry out a disaster-recovery plan: the real thing. Without ``approved`` the run pauses and shows what it would
    do, until a person has approved it in the UI.

    Args:
        plan: Name of the plan.
        approved: Do not wait for a person. For automation that has asked somebody already.
        resume: Go on with the last execution where it stopped, instead of beginning anew.
        patience: Minutes to wait for a person, after which the run fails and nothing was done.
    """
    if not approved:
        question = preview_markdown(preview(plan))
        publish(question, key=f"approval-{slug(plan)}", description=f"What executing {plan} would do")
        answer = pause_flow_run(
            wait_for_input=Approval.with_initial_data(description=question),
            timeout=patience * 60,
            poll_interval=_POLL,
        )
        get_run_logger().info("approved: %s %s", answer.approved, answer.remark)
        if not answer.approved:
            return Cancelled(message=f"the execution of {plan} was not approved: {answer.remark or 'no reason given'}")
    done = recover(plan, resume)
    report(done)
    return _ended(done)
