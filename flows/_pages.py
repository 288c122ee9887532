"""Every run ends with a page: what happened, figures, problems with advice, links - also when it failed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed

from backup_core.cli.faults import fault_of
from flows._artifacts import bullets, escaped
from flows._given_up import GivenUp

P = ParamSpec("P")
T = TypeVar("T")

_STOPPED = (
    "What was stored before stays and is reused: run it again when you like. Locks were given back; if a later run "
    "finds one all the same, davault unlock removes those of dead programs."
)


def publish(page: str, *, key: str, description: str) -> None:
    """Keep a page with the present run, below ``key``, where its earlier versions stay as well."""
    create_markdown_artifact(f"{page}\n\n---\n\n{_links()}", key=key, description=description)


def overview(what: str, states: Mapping[str, State[Any]]) -> str:
    """The page of a run that did the same for several things; ``what`` is that in plural, such as "configurations"."""
    good = sum(state.is_completed() for state in states.values())
    rows = ["| | Result | |", "|---|---|---|"]
    for name, state in states.items():
        result = escaped(state.name or state.type.value)
        shown = result if state.is_completed() else f"**{result}**"
        rows.append(f"| {escaped(name)} | {shown} | {escaped(state.message or '')} |")
    advice = ["The others were not kept from their turn. See the log of each, mend the cause, and run it again alone."]
    return "\n".join(
        [f"# {good} of {len(states)} {what}", "", *rows, "", *bullets("Advice", advice if good < len(states) else [])]
    )


def failure_page(error: BaseException) -> str:
    """What went wrong, and what to do."""
    fault = fault_of(error)
    first, *others = fault.message.splitlines() or [fault.kind]
    advice = [escaped(fault.advice)] if fault.advice else []
    if fault.transient:
        advice.append("It was tried again several times. It may succeed later without anybody changing anything.")
    lines = ["# Failed", "", f"**{escaped(first)}**", "", *bullets("Details", [escaped(line) for line in others])]
    return "\n".join([*lines, *bullets("What to do", advice or ["See the run's log for the details."])])


def ends_with_a_page(work: Callable[P, T]) -> Callable[P, T | State[T]]:
    """For the function of a flow, which leaves a page of its own when it succeeds: leave one also when it does not.

    A run that the server has given up ends as the server says, instead of as a crash.
    """

    @functools.wraps(work)
    def act(*arguments: P.args, **options: P.kwargs) -> T | State[T]:
        try:
            return work(*arguments, **options)
        except GivenUp as given_up:
            _stopped(str(given_up))
            if flow_run.get_parent_flow_run_id() is not None:
                raise  # the run that started this one is to stop, too
            end = Cancelled if given_up.cancelled else Crashed
            return end(message=f"stopped: {given_up}")
        except TerminationSignal:
            _stopped("it was cancelled, or its worker is being stopped")
            raise
        except Exception as error:
            publish(failure_page(error), key=f"{_flow()}-failed", description="Why a run failed, and what to do")
            raise

    # Prefect makes the run form of it, and would look for the names of types in this module.
    vars(act).update(
        __signature__=inspect.signature(work, eval_str=True),
        __annotations__=inspect.get_annotations(work, eval_str=True),
    )
    return act


def _stopped(why: str) -> None:
    page = "\n".join(["# Stopped before its end", "", escaped(why), "", *bullets("What to do", [_STOPPED])])
    with suppress(Exception):  # the run is ending: whatever goes wrong now must not keep it from that
        publish(page, key=f"{_flow()}-stopped", description="Why a run was stopped, and what becomes of its work")


def _flow() -> str:
    return str(flow_run.get_flow_name())


def _links() -> str:
    # As the pages of one server see each other: the worker may know that server by another address.
    links = {
        "This run": f"/runs/flow-run/{flow_run.get_id()}",
        "Storage": "/artifacts/key/storage-trend",
        "Alerts": "/artifacts/key/alerts",
    }
    return " · ".join(f"[{name}]({place})" for name, place in links.items())
